using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json.Nodes;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Model;

/// <summary>Writes safetensors files, right ones and wrong ones.</summary>
internal static class SafetensorsWriter
{
    internal static byte[] Serialize(IEnumerable<(string Name, long[] Shape, float[] Values)> tensors, ElementType type)
    {
        var header = new JsonObject { ["__metadata__"] = new JsonObject { ["format"] = "pt" } };
        var data = new List<byte>();
        foreach ((string name, long[] shape, float[] values) in tensors)
        {
            int begin = data.Count;
            data.AddRange(Encode(values, type));
            header[name] = new JsonObject
            {
                ["dtype"] = type switch { ElementType.BFloat16 => "BF16", ElementType.Float16 => "F16", _ => "F32" },
                ["shape"] = new JsonArray([.. shape.Select(d => (JsonNode)d)]),
                ["data_offsets"] = new JsonArray(begin, data.Count),
            };
        }

        return Join(header.ToJsonString(), data.ToArray());
    }

    internal static byte[] Join(string header, byte[] data) => Join(Encoding.UTF8.GetBytes(header), data);

    internal static byte[] Join(byte[] header, byte[] data)
    {
        var file = new byte[8 + header.Length + data.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(file, (ulong)header.Length);
        header.CopyTo(file, 8);
        data.CopyTo(file, 8 + header.Length);
        return file;
    }

    /// <summary>The values as a reader of the file sees them.</summary>
    internal static float[] Rounded(float[] values, ElementType type) => [.. values.Select(v => type switch
    {
        ElementType.BFloat16 => (float)(BFloat16)v,
        ElementType.Float16 => (float)(Half)v,
        _ => v,
    })];

    private static byte[] Encode(float[] values, ElementType type) => type switch
    {
        ElementType.BFloat16 => MemoryMarshal.AsBytes<ushort>(values.Select(v => ((BFloat16)v).Bits).ToArray()).ToArray(),
        ElementType.Float16 => MemoryMarshal.AsBytes<Half>(values.Select(v => (Half)v).ToArray()).ToArray(),
        _ => MemoryMarshal.AsBytes<float>(values).ToArray(),
    };
}

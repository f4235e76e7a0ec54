using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text.Json;
using KvHandoff.Numerics;

namespace KvHandoff.Model.Checkpoint;

/// <summary>
/// Parses the header of a safetensors file: 8 bytes of length (little-endian), JSON, then the data. Nothing in it is trusted: every
/// length is bounded before it is used, and the tensors must tile the data exactly, without overlap, gap or remainder.
/// </summary>
internal static class SafetensorsHeader
{
    /// <summary>Longest header that is read, in bytes; the format's own limit.</summary>
    internal const int MaxHeaderBytes = 100_000_000;

    /// <summary>Most tensors of one file.</summary>
    internal const int MaxTensors = 100_000;

    private const int LengthBytes = sizeof(ulong);
    private const int MaxDimensions = 8;

    /// <summary>Bytes of the JSON text.</summary>
    /// <exception cref="CheckpointException">The length does not fit into the file or is beyond the format's limit.</exception>
    internal static int ReadLength(string file, ReadOnlySpan<byte> prefix, long fileBytes)
    {
        if (prefix.Length < LengthBytes)
            throw new CheckpointException(file, "header length", $"{LengthBytes} bytes", $"{prefix.Length} bytes", 0);
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        ulong limit = (ulong)Math.Min(MaxHeaderBytes, fileBytes - LengthBytes);
        if (length < 2 || length > limit) throw new CheckpointException(file, "header length", $"2 to {limit} bytes", $"{length} bytes", 0);
        return (int)length;
    }

    /// <summary>Parses the JSON text that follows the length.</summary>
    internal static List<TensorEntry> Parse(string file, ReadOnlyMemory<byte> json, long fileBytes)
    {
        long dataStart = LengthBytes + json.Length, dataBytes = fileBytes - dataStart;
        var entries = new List<TensorEntry>();
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = 8 });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new CheckpointException(file, "header", "a JSON object", $"{document.RootElement.ValueKind}", LengthBytes);
            var names = new HashSet<string>(StringComparer.Ordinal);
            foreach (JsonProperty property in document.RootElement.EnumerateObject())
            {
                if (!names.Add(property.Name)) throw new CheckpointException(file, $"tensor {property.Name}", "each name once", "it twice", LengthBytes);
                if (property.Name == "__metadata__") continue;
                if (entries.Count == MaxTensors) throw new CheckpointException(file, "tensors", $"at most {MaxTensors}", "more", LengthBytes);
                entries.Add(ParseEntry(file, property.Name, property.Value, dataStart, dataBytes));
            }
        }
        catch (JsonException e)
        {
            throw new CheckpointException(file, "header", "JSON", e.Message, LengthBytes + (e.BytePositionInLine ?? 0), e);
        }
        catch (InvalidOperationException e)
        {
            // A string with a lone surrogate or bytes that are no UTF-8: found only when the name is decoded.
            throw new CheckpointException(file, "header", "UTF-8 text", e.Message, LengthBytes, e);
        }

        RequireTiling(file, entries, dataStart, dataBytes);
        return entries;
    }

    private static TensorEntry ParseEntry(string file, string name, JsonElement value, long dataStart, long dataBytes)
    {
        string what = $"tensor {name}";
        if (value.ValueKind != JsonValueKind.Object) throw new CheckpointException(file, what, "an object", $"{value.ValueKind}", LengthBytes);
        ElementType type = ParseType(file, what, value);
        ReadOnlySpan<long> shape = ParseNumbers(file, $"{what} shape", value, "shape", 0, MaxDimensions);
        ReadOnlySpan<long> range = ParseNumbers(file, $"{what} data_offsets", value, "data_offsets", 2, 2);
        long begin = range[0], end = range[1];
        if (begin > end) throw new CheckpointException(file, $"{what} data_offsets", "begin <= end", $"[{begin}, {end}]", LengthBytes);
        if (end > dataBytes)
            throw new CheckpointException(file, $"{what} data", $"{end} bytes of data", $"{dataBytes} bytes (the file is cut short)", dataStart + Math.Min(begin, dataBytes));
        Int128 bytes = type.SizeBytes();
        foreach (long dimension in shape)
        {
            bytes *= dimension;
            if (bytes > long.MaxValue) throw new CheckpointException(file, $"{what} shape", $"{end - begin} bytes", $"shape {TensorEntry.Text(shape)}", LengthBytes);
        }

        if (bytes != end - begin)
            throw new CheckpointException(file, $"{what} data_offsets", $"{bytes} bytes for {type.Name()} {TensorEntry.Text(shape)}", $"{end - begin} bytes", LengthBytes);
        return new TensorEntry(name, type, [.. shape], dataStart + begin, end - begin);
    }

    private static ElementType ParseType(string file, string what, JsonElement value)
    {
        const string allowed = "BF16, F16 or F32";
        if (!value.TryGetProperty("dtype", out JsonElement dtype) || dtype.ValueKind != JsonValueKind.String)
            throw new CheckpointException(file, $"{what} dtype", allowed, "none", LengthBytes);
        return dtype.GetString() switch
        {
            "BF16" => ElementType.BFloat16,
            "F16" => ElementType.Float16,
            "F32" => ElementType.Float32,
            string other => throw new CheckpointException(file, $"{what} dtype", allowed, other.Length > 32 ? other[..32] : other, LengthBytes),
            null => throw new CheckpointException(file, $"{what} dtype", allowed, "null", LengthBytes),
        };
    }

    private static long[] ParseNumbers(string file, string what, JsonElement value, string field, int least, int most)
    {
        if (!value.TryGetProperty(field, out JsonElement array) || array.ValueKind != JsonValueKind.Array)
            throw new CheckpointException(file, what, "an array", "none", LengthBytes);
        int length = array.GetArrayLength();
        if (length < least || length > most) throw new CheckpointException(file, what, $"{least} to {most} numbers", $"{length}", LengthBytes);
        var numbers = new long[length];
        for (int i = 0; i < length; i++)
        {
            if (array[i].ValueKind != JsonValueKind.Number || !array[i].TryGetInt64(out numbers[i]) || numbers[i] < 0)
                throw new CheckpointException(file, what, "integers of 0 or more", array[i].GetRawText() is { Length: <= 32 } text ? text : "another value", LengthBytes);
        }

        return numbers;
    }

    private static void RequireTiling(string file, List<TensorEntry> entries, long dataStart, long dataBytes)
    {
        long at = dataStart;
        foreach (TensorEntry entry in entries.OrderBy(e => e.OffsetBytes).ThenBy(e => e.LengthBytes))
        {
            if (entry.OffsetBytes != at)
            {
                string problem = entry.OffsetBytes < at ? "overlaps the tensor before it" : "leaves a gap before it";
                throw new CheckpointException(file, $"tensor {entry.Name} data", $"start at byte {at}", $"byte {entry.OffsetBytes}: it {problem}", entry.OffsetBytes);
            }

            at += entry.LengthBytes;
        }

        if (at != dataStart + dataBytes) throw new CheckpointException(file, "end of data", $"byte {at}", $"byte {dataStart + dataBytes}", at);
    }
}

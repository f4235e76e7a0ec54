using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Model;
using KvHandoff.Model.Checkpoint;

namespace KvHandoff.Bench.Accuracy;

/// <summary>
/// The same function with harder keys: a few slowly rotating channel pairs of every kv head are scaled up in the keys and down by as much
/// in the queries that meet them. Logits stay what they are; what a quantiser makes of the keys does not.
/// </summary>
/// <remarks>A pair (i, i + dim/2) turns together, so that scaling both of its rows commutes with the rotary embedding.</remarks>
internal sealed class OutlierCheckpoint : IDisposable
{
    /// <summary>Pairs that are scaled in each kv head.</summary>
    internal const int PairsPerHead = 3;

    /// <summary>Range of the factors, log-uniform.</summary>
    internal const double LowestFactor = 10, HighestFactor = 50;

    // Of the slowest pairs, which in trained models are where key outliers sit.
    private const int SlowPairs = 8;
    private const ulong Seed = 0x4F55544C;

    private OutlierCheckpoint(DirectoryInfo directory) => Location = directory;

    private DirectoryInfo Location { get; }

    /// <summary>Where <see cref="LlamaModel.Load"/> finds it.</summary>
    internal string Path => Location.FullName;

    /// <summary>Writes the changed checkpoint into a temporary directory.</summary>
    internal static OutlierCheckpoint Create(string source, LlamaConfig config)
    {
        var result = new OutlierCheckpoint(Directory.CreateTempSubdirectory("kvhandoff-outliers-"));
        try
        {
            File.Copy(System.IO.Path.Combine(source, "config.json"), System.IO.Path.Combine(result.Path, "config.json"));
            using SafetensorsFile file = SafetensorsFile.Open(System.IO.Path.Combine(source, CheckpointDirectory.SingleFileName));
            using FileStream target = File.Create(System.IO.Path.Combine(result.Path, CheckpointDirectory.SingleFileName));
            Write(file, config, target);
            return result;
        }
        catch
        {
            result.Dispose();
            throw;
        }
    }

    public void Dispose() => Location.Delete(recursive: true);

    // fp32, so that scaling a weight rounds as little as it can.
    private static void Write(SafetensorsFile source, LlamaConfig config, Stream target)
    {
        TensorEntry[] tensors = [.. source.Tensors.Values.OrderBy(t => t.Name, StringComparer.Ordinal)];
        var header = new SortedDictionary<string, object>(StringComparer.Ordinal);
        long at = 0;
        foreach (TensorEntry tensor in tensors)
        {
            long end = at + tensor.Elements * sizeof(float);
            header.Add(tensor.Name, new { dtype = "F32", shape = tensor.Shape.ToArray(), data_offsets = new[] { at, end } });
            at = end;
        }

        byte[] json = JsonSerializer.SerializeToUtf8Bytes(header);
        Span<byte> length = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(length, json.Length);
        target.Write(length);
        target.Write(json);
        foreach (TensorEntry tensor in tensors)
        {
            var weights = new float[tensor.Elements];
            source.Read(tensor, weights);
            Scale(tensor.Name, weights, config);
            target.Write(MemoryMarshal.AsBytes(weights.AsSpan()));
        }
    }

    private static void Scale(string name, Span<float> weights, LlamaConfig config)
    {
        bool keys = name.EndsWith("self_attn.k_proj.weight", StringComparison.Ordinal);
        if (!keys && !name.EndsWith("self_attn.q_proj.weight", StringComparison.Ordinal)) return;
        int layer = int.Parse(name.Split('.')[2], System.Globalization.CultureInfo.InvariantCulture), dim = config.HeadDim, half = dim / 2;
        int heads = keys ? config.KvHeads : config.QueryHeads;
        for (int head = 0; head < heads; head++)
        {
            foreach ((int pair, double factor) in Outliers(layer, keys ? head : head / config.GroupSize, half))
            {
                foreach (int channel in new[] { pair, pair + half })
                {
                    foreach (ref float weight in weights.Slice((head * dim + channel) * config.HiddenSize, config.HiddenSize))
                        weight = (float)(keys ? weight * factor : weight / factor);
                }
            }
        }
    }

    // The same for the keys of a head and for the queries that meet them. The frequency falls with the index of the pair.
    private static IEnumerable<(int Pair, double Factor)> Outliers(int layer, int kvHead, int pairs)
    {
        var random = new SplitMix64(Seed ^ ((ulong)layer << 32) ^ (ulong)kvHead);
        int[] slow = [.. Enumerable.Range(Math.Max(0, pairs - SlowPairs), Math.Min(SlowPairs, pairs))];
        for (int i = 0; i < Math.Min(PairsPerHead, slow.Length); i++)
        {
            int pick = i + (int)(random.Next() % (ulong)(slow.Length - i));
            (slow[i], slow[pick]) = (slow[pick], slow[i]);
            yield return (slow[i], LowestFactor * Math.Pow(HighestFactor / LowestFactor, random.NextDouble()));
        }
    }
}

using System.Security.Cryptography;
using System.Text.Json;

namespace KvHandoff.Model.Checkpoint;

/// <summary>
/// The weights of a checkpoint directory: <c>model.safetensors</c>, or the shards that <c>model.safetensors.index.json</c> names.
/// </summary>
public sealed class CheckpointDirectory : IDisposable
{
    /// <summary>Name of the file of an unsharded checkpoint.</summary>
    public const string SingleFileName = "model.safetensors";

    /// <summary>Name of the index of a sharded one.</summary>
    public const string IndexFileName = "model.safetensors.index.json";

    private const long MaxIndexBytes = 64 << 20;
    private const int MaxShards = 10_000;

    private readonly List<SafetensorsFile> _files = [];
    private readonly Dictionary<string, (SafetensorsFile File, TensorEntry Entry)> _tensors = new(StringComparer.Ordinal);

    private CheckpointDirectory(string path) => Path = path;

    /// <summary>The directory.</summary>
    public string Path { get; }

    /// <summary>Opens every file of the checkpoint.</summary>
    /// <exception cref="CheckpointException">A file is absent or malformed, or the index and the shards disagree.</exception>
    public static CheckpointDirectory Open(string path)
    {
        var directory = new CheckpointDirectory(path);
        try
        {
            string index = System.IO.Path.Combine(path, IndexFileName);
            if (File.Exists(index)) directory.OpenShards(index);
            else directory.Add(SafetensorsFile.Open(System.IO.Path.Combine(path, SingleFileName)));
            return directory;
        }
        catch
        {
            directory.Dispose();
            throw;
        }
    }

    /// <summary>Whether the checkpoint has a tensor of that name.</summary>
    public bool Contains(string tensor) => _tensors.ContainsKey(tensor);

    /// <summary>Checks that there is a tensor of that name and shape.</summary>
    /// <exception cref="CheckpointException">There is none, or its shape is not <paramref name="shape"/>.</exception>
    public void Require(string tensor, params ReadOnlySpan<long> shape) => Find(tensor, shape);

    /// <summary>Reads a tensor as fp32, row-major.</summary>
    /// <exception cref="CheckpointException">There is none of that name, or its shape is not <paramref name="shape"/>.</exception>
    public float[] Read(string tensor, params ReadOnlySpan<long> shape)
    {
        (SafetensorsFile file, TensorEntry entry) = Find(tensor, shape);
        if (entry.Elements > Array.MaxLength)
            throw new CheckpointException(file.Path, $"tensor {tensor}", $"at most {Array.MaxLength} elements", $"{entry.Elements}", entry.OffsetBytes);
        var elements = new float[entry.Elements];
        file.Read(entry, elements);
        return elements;
    }

    /// <summary>SHA-256 of the weights, lower-case hex: of the one file, or of the shards joined in the order of their names.</summary>
    public string ComputeRevision()
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (SafetensorsFile file in _files.OrderBy(f => f.Path, StringComparer.Ordinal)) file.AppendTo(hash);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Closes the files.</summary>
    public void Dispose()
    {
        foreach (SafetensorsFile file in _files) file.Dispose();
    }

    private (SafetensorsFile File, TensorEntry Entry) Find(string tensor, ReadOnlySpan<long> shape)
    {
        if (!_tensors.TryGetValue(tensor, out (SafetensorsFile File, TensorEntry Entry) found))
            throw new CheckpointException(Path, $"tensor {tensor}", $"shape {TensorEntry.Text(shape)}", "no such tensor");
        if (found.Entry.Shape.AsSpan().SequenceEqual(shape)) return found;
        throw new CheckpointException(found.File.Path, $"tensor {tensor}", $"shape {TensorEntry.Text(shape)} (from config.json)",
            $"shape {found.Entry.ShapeText}", found.Entry.OffsetBytes);
    }

    private void OpenShards(string index)
    {
        Dictionary<string, string> map = ReadIndex(index);
        foreach (string shard in map.Values.Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal))
        {
            if (_files.Count == MaxShards) throw new CheckpointException(index, "shards", $"at most {MaxShards}", "more");
            Add(SafetensorsFile.Open(System.IO.Path.Combine(Path, shard)));
        }

        foreach ((string tensor, string shard) in map)
        {
            string? actual = _tensors.TryGetValue(tensor, out (SafetensorsFile File, TensorEntry Entry) found)
                ? System.IO.Path.GetFileName(found.File.Path)
                : null;
            if (actual != shard) throw new CheckpointException(index, $"tensor {tensor}", $"it in {shard}", actual is null ? "it in no shard" : $"it in {actual}");
        }
    }

    private static Dictionary<string, string> ReadIndex(string index)
    {
        using JsonDocument document = BoundedJson.Read(index, MaxIndexBytes);
        try
        {
            return ReadIndex(index, document.RootElement);
        }
        catch (InvalidOperationException e)
        {
            // Text that is no UTF-8 is found only when it is decoded.
            throw new CheckpointException(index, "weight_map", "UTF-8 text", e.Message, inner: e);
        }
    }

    private static Dictionary<string, string> ReadIndex(string index, JsonElement root)
    {
        if (!root.TryGetProperty("weight_map", out JsonElement weights) || weights.ValueKind != JsonValueKind.Object)
            throw new CheckpointException(index, "weight_map", "an object", "none");
        var map = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (JsonProperty property in weights.EnumerateObject())
        {
            string? shard = property.Value.ValueKind == JsonValueKind.String ? property.Value.GetString() : null;
            if (!IsPlainFileName(shard)) throw new CheckpointException(index, $"shard of {property.Name}", "a plain file name ending in .safetensors", $"\"{shard}\"");
            if (!map.TryAdd(property.Name, shard!)) throw new CheckpointException(index, $"tensor {property.Name}", "each name once", "it twice");
        }

        return map.Count > 0 ? map : throw new CheckpointException(index, "weight_map", "1 tensor or more", "0");
    }

    // An index comes with the checkpoint: it must not name files outside its directory, on any system.
    private static bool IsPlainFileName(string? name) =>
        name is { Length: > 0 and <= 255 } && name.EndsWith(".safetensors", StringComparison.Ordinal) && name.AsSpan().IndexOfAny("/\\:\0") < 0
        && !name.StartsWith('.');

    private void Add(SafetensorsFile file)
    {
        _files.Add(file);
        foreach (TensorEntry entry in file.Tensors.Values)
        {
            if (_tensors.TryGetValue(entry.Name, out (SafetensorsFile File, TensorEntry Entry) other))
                throw new CheckpointException(file.Path, $"tensor {entry.Name}", "it in one shard", $"it in {System.IO.Path.GetFileName(other.File.Path)} too", entry.OffsetBytes);
            _tensors.Add(entry.Name, (file, entry));
        }
    }
}

using System.Runtime.InteropServices;
using System.Security.Cryptography;
using KvHandoff.Numerics;
using Microsoft.Win32.SafeHandles;

namespace KvHandoff.Model.Checkpoint;

/// <summary>A safetensors file, open for reading; its header is parsed and checked, its data is read tensor by tensor.</summary>
/// <remarks>Thread-safe until disposed.</remarks>
public sealed class SafetensorsFile : IDisposable
{
    private const int BufferBytes = 1 << 20;

    private readonly SafeFileHandle _handle;
    private readonly Dictionary<string, TensorEntry> _tensors;

    private SafetensorsFile(string path, SafeFileHandle handle, long lengthBytes, List<TensorEntry> entries)
    {
        Path = path;
        _handle = handle;
        LengthBytes = lengthBytes;
        _tensors = entries.ToDictionary(e => e.Name, StringComparer.Ordinal);
    }

    /// <summary>The file's path as it was given.</summary>
    public string Path { get; }

    /// <summary>Size of the file.</summary>
    public long LengthBytes { get; }

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => _tensors;

    /// <summary>Opens a file and parses its header.</summary>
    /// <exception cref="CheckpointException">The file is absent, cut short or malformed.</exception>
    public static SafetensorsFile Open(string path)
    {
        SafeFileHandle handle;
        try
        {
            handle = File.OpenHandle(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException(path, "file", "a readable file", e.Message, inner: e);
        }

        try
        {
            long length = RandomAccess.GetLength(handle);
            Span<byte> prefix = stackalloc byte[sizeof(ulong)];
            prefix = prefix[..(int)Math.Min(prefix.Length, length)];
            Fill(path, handle, 0, prefix);
            var json = new byte[SafetensorsHeader.ReadLength(path, prefix, length)];
            Fill(path, handle, sizeof(ulong), json);
            return new SafetensorsFile(path, handle, length, SafetensorsHeader.Parse(path, json, length));
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Reads a tensor as fp32, row-major. <paramref name="destination"/> has exactly its elements.</summary>
    /// <exception cref="ArgumentException">The destination's length is another.</exception>
    /// <exception cref="CheckpointException">The file became shorter since it was opened.</exception>
    public void Read(TensorEntry tensor, Span<float> destination)
    {
        if (destination.Length != tensor.Elements)
            throw new ArgumentException($"Tensor {tensor.Name} has {tensor.Elements} elements; the destination has {destination.Length}.", nameof(destination));
        if (tensor.ElementType == ElementType.Float32)
        {
            Fill(Path, _handle, tensor.OffsetBytes, MemoryMarshal.AsBytes(destination));
            return;
        }

        int elementBytes = tensor.ElementType.SizeBytes();
        var buffer = new byte[(int)Math.Min(BufferBytes, tensor.LengthBytes)];
        for (long at = 0; at < tensor.LengthBytes;)
        {
            Span<byte> part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, tensor.LengthBytes - at));
            Fill(Path, _handle, tensor.OffsetBytes + at, part);
            Span<float> widened = destination.Slice((int)(at / elementBytes), part.Length / elementBytes);
            ElementConversion.Convert(part, tensor.ElementType, MemoryMarshal.AsBytes(widened), ElementType.Float32);
            at += part.Length;
        }
    }

    /// <summary>Appends the whole file to a hash.</summary>
    public void AppendTo(IncrementalHash hash)
    {
        var buffer = new byte[BufferBytes];
        for (long at = 0; at < LengthBytes;)
        {
            Span<byte> part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, LengthBytes - at));
            Fill(Path, _handle, at, part);
            hash.AppendData(part);
            at += part.Length;
        }
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _handle.Dispose();

    private static void Fill(string path, SafeFileHandle handle, long offset, Span<byte> destination)
    {
        for (int done = 0; done < destination.Length;)
        {
            int read = RandomAccess.Read(handle, destination[done..], offset + done);
            if (read == 0) throw new CheckpointException(path, "data", $"{destination.Length} bytes", $"{done} bytes, then the end of the file", offset);
            done += read;
        }
    }
}

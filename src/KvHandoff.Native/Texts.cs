using System.Runtime.InteropServices;
using System.Text;
using System.Text.Unicode;

namespace KvHandoff.Native;

/// <summary>Strings across the border: UTF-8, terminated, copied both ways.</summary>
static unsafe class Texts
{
    const int MostBytes = 64 << 10;

    /// <summary>A string of the host; null counts as empty.</summary>
    internal static string Read(byte* text)
    {
        if (text == null) return "";
        int length = 0;
        while (length < MostBytes && text[length] != 0) length++;
        if (length == MostBytes) throw new StatusException(Status.Argument, $"A string has {MostBytes} bytes or more, or no end.");
        return Encoding.UTF8.GetString(text, length);
    }

    /// <summary>The same, but null for an empty one.</summary>
    internal static string? ReadOrNull(byte* text) => Read(text) is { Length: > 0 } s ? s : null;

    /// <summary>Writes a text into the host's buffer, cut at a whole character.</summary>
    internal static int Write(string text, byte* buffer, nuint capacity, nuint* needed)
    {
        int bytes = Encoding.UTF8.GetByteCount(text);
        if (needed != null) *needed = (nuint)bytes + 1;
        else if (buffer == null) throw new StatusException(Status.Null, "buffer and needed are both null.");
        if (buffer == null || capacity == 0) return capacity == 0 ? Status.Buffer : throw new StatusException(Status.Null, "buffer is null.");
        int room = (int)Math.Min(capacity - 1, int.MaxValue);
        // Unlike an Encoder, it does not mind room for no character at all.
        _ = Utf8.FromUtf16(text, new Span<byte>(buffer, room), out _, out int written);
        buffer[written] = 0;
        return (nuint)bytes < capacity ? Status.Ok : Status.Buffer;
    }

    /// <summary>A copy that the caller frees with <see cref="NativeMemory.Free"/>.</summary>
    internal static byte* Copy(string text)
    {
        int bytes = Encoding.UTF8.GetByteCount(text);
        byte* copy = (byte*)NativeMemory.Alloc((nuint)bytes + 1);
        Encoding.UTF8.GetBytes(text, new Span<byte>(copy, bytes));
        copy[bytes] = 0;
        return copy;
    }
}

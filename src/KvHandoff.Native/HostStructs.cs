using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace KvHandoff.Native;

/// <summary>
/// Structs of the host: read by the size that they claim to have. All of this version's fields must be there; what a newer host adds behind
/// them must be zero, for nothing is known of its meaning.
/// </summary>
static unsafe class HostStructs
{
    const uint Most = 4096;

    /// <summary>A copy of an input struct.</summary>
    internal static T Read<T>(T* from, [CallerArgumentExpression(nameof(from))] string name = "") where T : unmanaged
    {
        if (from == null) throw new StatusException(Status.Null, $"{name} is null.");
        CheckSize<T>((byte*)from, name);
        return *from;
    }

    /// <summary>The same, or defaults for null.</summary>
    internal static T ReadOrDefault<T>(T* from, [CallerArgumentExpression(nameof(from))] string name = "") where T : unmanaged => from == null ? default : Read(from, name);

    /// <summary>Element <paramref name="index"/> of an array whose first element says how far they lie apart.</summary>
    internal static T ReadAt<T>(T* from, int index, [CallerArgumentExpression(nameof(from))] string name = "") where T : unmanaged =>
        Read((T*)((byte*)from + (long)index * *(uint*)from), name);

    /// <summary>Fills an output struct; its size stays what the host set.</summary>
    internal static void Write<T>(T* to, T value, [CallerArgumentExpression(nameof(to))] string name = "") where T : unmanaged
    {
        if (to == null) throw new StatusException(Status.Null, $"{name} is null.");
        uint size = *(uint*)to;
        if (size < sizeof(T) || size > Most) throw new StatusException(Status.StructSize, $"{name} has struct_size {size}; this library fills {sizeof(T)}.");
        *to = value;
        *(uint*)to = size;
    }

    /// <summary>A pointer that must not be null.</summary>
    internal static void RequireNotNull(void* pointer, [CallerArgumentExpression(nameof(pointer))] string name = "")
    {
        if (pointer == null) throw new StatusException(Status.Null, $"{name} is null.");
    }

    /// <summary>A number out of a set of constants.</summary>
    internal static int RequireEnum(int value, int first, int last, string name) =>
        value >= first && value <= last ? value : throw new StatusException(Status.Enum, $"{name} is {value}; allowed: {first} to {last}.");

    /// <summary>A count or length of the host's that is about to be trusted.</summary>
    internal static int RequireRange(long value, long first, long last, string name) =>
        value >= first && value <= last ? (int)value : throw new StatusException(Status.Argument, $"{name} is {value}; allowed: {first} to {last}.");

    internal static TimeSpan Milliseconds(long value, TimeSpan whenZero, string name)
    {
        const long Longest = 30L * 24 * 60 * 60 * 1000;
        if (value < 0 || value > Longest) throw new StatusException(Status.Argument, $"{name} is {value} ms; allowed: 0 to {Longest}.");
        return value == 0 ? whenZero : TimeSpan.FromMilliseconds(value);
    }

    internal static Guid Read(KvhUuid id) => new(new ReadOnlySpan<byte>(id.Bytes, 16), bigEndian: true);

    internal static KvhUuid Write(Guid id)
    {
        KvhUuid uuid;
        id.TryWriteBytes(new Span<byte>(uuid.Bytes, 16), bigEndian: true, out _);
        return uuid;
    }

    static void CheckSize<T>(byte* from, string name) where T : unmanaged
    {
        uint size = *(uint*)from;
        if (size < sizeof(T) || size > Most) throw new StatusException(Status.StructSize, $"{name} has struct_size {size}; this library needs {sizeof(T)}.");
        if (size > sizeof(T) && new ReadOnlySpan<byte>(from + sizeof(T), (int)size - sizeof(T)).ContainsAnyExcept((byte)0))
            throw new StatusException(Status.StructSize, $"{name} has fields behind byte {sizeof(T)} that this library does not know; they must be zero.");
    }
}

using System.Runtime.InteropServices;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>
/// Memory for one span of a kernel: flush with a guard page, or at a given offset with bytes around it that must stay as they are.
/// Without guard pages, on systems other than Linux, plain memory.
/// </summary>
sealed class GuardedArea : IDisposable
{
    /// <summary>Behind the last byte lies a page that faults.</summary>
    public const int AtEnd = -1;

    public const byte Filler = 0xA5;

    const int MarginBytes = 192;

    readonly GuardedBuffer? _guarded;
    readonly byte[]? _plain;
    readonly int _capacityBytes;
    int _start;
    int _bytes;

    public GuardedArea(int capacityBytes)
    {
        _capacityBytes = (capacityBytes + (2 * MarginBytes) + 4095) / 4096 * 4096;
        if (GuardedBuffer.IsAvailable && Environment.SystemPageSize == 4096)
            _guarded = new GuardedBuffer(_capacityBytes);
        else
            _plain = new byte[_capacityBytes];
        All.Fill(Filler);
    }

    Span<byte> All => _guarded is null ? _plain : _guarded.AtStart<byte>(_capacityBytes);

    /// <summary>Takes the place of the last span. Offset 0 is flush with the guard page in front.</summary>
    public Span<byte> Take(int bytes, int offset)
    {
        _bytes = bytes;
        _start = offset == AtEnd ? _capacityBytes - bytes : offset;
        Assert.InRange(_start, 0, _capacityBytes - bytes);
        Span<byte> around = All[Math.Max(0, _start - MarginBytes)..Math.Min(_capacityBytes, _start + bytes + MarginBytes)];
        around.Fill(Filler);
        return All.Slice(_start, bytes);
    }

    public Span<byte> Take(ReadOnlySpan<byte> content, int offset)
    {
        Span<byte> taken = Take(content.Length, offset);
        content.CopyTo(taken);
        return taken;
    }

    public Span<float> TakeSingles(int count, int offset) =>
        MemoryMarshal.Cast<byte, float>(Take(count * sizeof(float), offset == AtEnd ? AtEnd : offset / 4 * 4));

    public void AssertNothingAround()
    {
        Assert.False(All[Math.Max(0, _start - MarginBytes).._start].ContainsAnyExcept(Filler), "Wrote in front of a span.");
        int end = _start + _bytes;
        Assert.False(All[end..Math.Min(_capacityBytes, end + MarginBytes)].ContainsAnyExcept(Filler), "Wrote behind a span.");
    }

    public void Dispose() => _guarded?.Dispose();
}

namespace KvHandoff.Transport;

/// <summary>Bytes that have come and were not taken yet: a ring of the size of the window that the peer was given. Under the lock of the connection.</summary>
internal sealed partial class UcxInput(int windowBytes)
{
    private const int MostEarly = 1024, MostTargets = 64;

    private readonly byte[] _ring = GC.AllocateUninitializedArray<byte>(windowBytes);

    // Pieces that overtook others; UCX promises no order between messages of different kinds.
    private readonly SortedDictionary<long, byte[]> _early = [];

    private readonly IoRange[] _targets = new IoRange[MostTargets];
    private int _target, _targetCount;
    private nint _targetBytes;
    private long _aimed, _aimedAt, _ringBegins;

    internal int WindowBytes => windowBytes;

    /// <summary>Bytes that came in order since the beginning.</summary>
    internal long Arrived { get; private set; }

    /// <summary>Bytes that were taken since the beginning.</summary>
    internal long Taken { get; private set; }

    internal int Waiting => (int)(Arrived - Taken);

    /// <summary>Puts a piece into its place: null, or what is wrong with it.</summary>
    internal string? Add(long offset, ReadOnlySpan<byte> bytes)
    {
        if (offset < Arrived || bytes.Length > Taken + windowBytes - offset)
            return $"{bytes.Length} bytes at {offset} are outside the window of {windowBytes} bytes from {Taken}, of which {Waiting} are filled";
        if (offset > Arrived)
        {
            if (_early.Count == MostEarly) return $"more than {MostEarly} pieces overtook the one at {Arrived}";
            return _early.TryAdd(offset, bytes.ToArray()) ? null : $"bytes at {offset} came twice";
        }

        Append(bytes);
        while (_early.Count > 0)
        {
            KeyValuePair<long, byte[]> first = _early.First();
            if (first.Key > Arrived) break;
            if (first.Key < Arrived) return $"bytes at {first.Key} came twice; {Arrived} have come";
            _early.Remove(first.Key);
            Append(first.Value);
        }

        return null;
    }

    /// <summary>Takes what is there, up to the length of <paramref name="destination"/>.</summary>
    internal int Take(Span<byte> destination)
    {
        int count = Math.Min(Waiting, destination.Length);
        for (int done = 0; done < count;)
        {
            ReadOnlySpan<byte> piece = Piece(count - done);
            piece.CopyTo(destination[done..]);
            done += piece.Length;
            Taken += piece.Length;
        }

        return count;
    }

    /// <summary>Takes what is there into native memory, up to <paramref name="lengthBytes"/>.</summary>
    internal nint Take(nint address, nint lengthBytes)
    {
        int count = (int)Math.Min(Waiting, lengthBytes);
        for (int done = 0; done < count;)
        {
            ReadOnlySpan<byte> piece = Piece(count - done);
            Copy(piece, address + done);
            done += piece.Length;
            Taken += piece.Length;
        }

        return count;
    }

    /// <summary>Whether a caller would find something, or has all that it aimed at.</summary>
    internal bool Suffices => Waiting > 0 || (_aimedAt > 0 && _aimed == _aimedAt);

    /// <summary>What comes next in order goes straight to these ranges, or the first of them, until <see cref="TakeAimed"/>.</summary>
    internal void Aim(ReadOnlySpan<IoRange> ranges)
    {
        _targetCount = Math.Min(ranges.Length, MostTargets);
        ranges[.._targetCount].CopyTo(_targets);
        _aimedAt = IoRange.TotalBytes(ranges[.._targetCount]);
        (_target, _targetBytes, _aimed) = (0, 0, 0);
    }

    /// <summary>How many bytes went there; nothing more does.</summary>
    internal nint TakeAimed()
    {
        nint aimed = (nint)_aimed;
        _targetCount = 0;
        _aimed = _aimedAt = 0;
        return aimed;
    }

    /// <summary>Nobody will take what is there, or what comes.</summary>
    internal void Drop() => Taken = Arrived;

    private ReadOnlySpan<byte> Piece(int most)
    {
        int at = (int)((Taken - _ringBegins) % windowBytes);
        return _ring.AsSpan(at, Math.Min(most, windowBytes - at));
    }

    private ReadOnlySpan<byte> Place(ReadOnlySpan<byte> bytes)
    {
        while (_target < _targetCount && !bytes.IsEmpty)
        {
            (nint address, nint length) = _targets[_target];
            int piece = (int)Math.Min(bytes.Length, length - _targetBytes);
            Copy(bytes[..piece], address + _targetBytes);
            bytes = bytes[piece..];
            Arrived += piece;
            Taken += piece;
            _aimed += piece;
            _targetBytes += piece;
            if (_targetBytes < length) continue;
            _target++;
            _targetBytes = 0;
        }

        return bytes;
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        if (Waiting == 0)
        {
            bytes = Place(bytes);
            // An empty ring is filled from its beginning, which is still in the nearest cache.
            _ringBegins = Arrived;
        }

        while (!bytes.IsEmpty)
        {
            int at = (int)((Arrived - _ringBegins) % windowBytes), piece = Math.Min(bytes.Length, windowBytes - at);
            bytes[..piece].CopyTo(_ring.AsSpan(at));
            Arrived += piece;
            bytes = bytes[piece..];
        }
    }
}

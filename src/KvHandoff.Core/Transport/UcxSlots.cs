using System.Runtime.InteropServices;

namespace KvHandoff.Transport;

/// <summary>
/// Messages on their way: memory that stays as it is until UCX has sent it. A message is gathered from bytes that are copied into its slot and from ranges of the caller's, which UCX reads
/// where they lie. Under the lock of the connection.
/// </summary>
internal sealed class UcxSlots
{
    /// <summary>Most places that the data of a message comes from; UCX's TCP takes six with those of its headers, and copies where there are more.</summary>
    internal const int MostPieces = 4;

    private readonly int _slotBytes;
    private readonly nint[] _requests;
    private readonly byte[] _bytes;

    // Laid out as UCX's own list of places.
    private readonly IoRange[] _pieces;
    private readonly (int Pieces, int Copied, bool Borrows)[] _gathered;

    internal UcxSlots(int count, int dataBytes)
    {
        _slotBytes = UcxMessage.HeaderBytes + dataBytes;
        _requests = new nint[count];
        _gathered = new (int, int, bool)[count];
        _pieces = GC.AllocateUninitializedArray<IoRange>(count * MostPieces, pinned: true);
        _bytes = GC.AllocateUninitializedArray<byte>(count * _slotBytes, pinned: true);
    }

    /// <summary>A slot that is not in use, or -1; an error of one that has come to its end in <paramref name="error"/>.</summary>
    internal int Find(ref int error)
    {
        for (int slot = 0; slot < _requests.Length; slot++)
        {
            if (!TryFree(slot, ref error)) continue;
            _gathered[slot] = default;
            return slot;
        }

        return -1;
    }

    /// <summary>Whether none is in use.</summary>
    internal bool AreFree()
    {
        int error = UcxStructures.Ok;
        bool free = true;
        for (int slot = 0; slot < _requests.Length; slot++) free &= TryFree(slot, ref error);
        return free;
    }

    /// <summary>Whether UCX may still read memory of the caller's.</summary>
    internal bool Borrow(ref int error)
    {
        bool borrow = false;
        for (int slot = 0; slot < _requests.Length; slot++) borrow |= _gathered[slot].Borrows && !TryFree(slot, ref error);
        return borrow;
    }

    /// <summary>Copies bytes into a slot, behind what it has; false when it has no place for another piece.</summary>
    internal bool TryCopy(int slot, ReadOnlySpan<byte> bytes)
    {
        if (!TryExtend(slot, bytes.Length, out int at)) return false;
        bytes.CopyTo(_bytes.AsSpan(at));
        return true;
    }

    /// <summary>As above, from native memory.</summary>
    internal bool TryCopy(int slot, IoRange range)
    {
        if (!TryExtend(slot, (int)range.LengthBytes, out int at)) return false;
        Marshal.Copy(range.Address, _bytes, at, (int)range.LengthBytes);
        return true;
    }

    /// <summary>Adds bytes that stay as they are until <see cref="Borrow"/> says that nothing is read any more; false when the slot has no place for another piece.</summary>
    internal bool TryBorrow(int slot, IoRange range)
    {
        if (!TryAdd(slot, range)) return false;
        _gathered[slot].Borrows = true;
        return true;
    }

    /// <summary>Sends what a slot has; false with UCX's reason.</summary>
    internal bool TrySend(UcxEndpoint endpoint, int slot, UcxMessageKind kind, long value, out int status)
    {
        int at = slot * _slotBytes, pieces = _gathered[slot].Pieces;
        UcxMessage.Write(_bytes.AsSpan(at), kind, value);
        nint header = Marshal.UnsafeAddrOfPinnedArrayElement(_bytes, at);
        IoRange only = pieces == 1 ? _pieces[slot * MostPieces] : default;
        nint returned = pieces <= 1 ? endpoint.Send(header, UcxMessage.HeaderBytes, only.Address, (int)only.LengthBytes)
            : endpoint.SendPieces(header, UcxMessage.HeaderBytes, Marshal.UnsafeAddrOfPinnedArrayElement(_pieces, slot * MostPieces), pieces);
        bool failed = UcxStructures.IsError(returned, out status);
        _requests[slot] = failed ? 0 : returned;
        return !failed;
    }

    private bool TryFree(int slot, ref int error)
    {
        if (!UcxEndpoint.TryFinish(ref _requests[slot], out int status)) return false;
        if (status != UcxStructures.Ok) error = status;
        _gathered[slot].Borrows = false;
        return true;
    }

    // Where so many bytes more are copied to.
    private bool TryExtend(int slot, int count, out int at)
    {
        (int pieces, int copied, _) = _gathered[slot];
        at = slot * _slotBytes + UcxMessage.HeaderBytes + copied;
        nint address = Marshal.UnsafeAddrOfPinnedArrayElement(_bytes, at);
        int last = slot * MostPieces + pieces - 1;
        if (pieces > 0 && _pieces[last].Address + _pieces[last].LengthBytes == address) _pieces[last] = new IoRange(_pieces[last].Address, _pieces[last].LengthBytes + count);
        else if (!TryAdd(slot, new IoRange(address, count))) return false;
        _gathered[slot].Copied += count;
        return true;
    }

    private bool TryAdd(int slot, IoRange piece)
    {
        int pieces = _gathered[slot].Pieces;
        if (pieces == MostPieces) return false;
        _pieces[slot * MostPieces + pieces] = piece;
        _gathered[slot].Pieces = pieces + 1;
        return true;
    }
}

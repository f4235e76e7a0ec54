using System.Runtime.InteropServices;

namespace KvHandoff.Transport;

/// <summary>The data path, for threads of their own: long ranges are sent from where they lie, and what comes is copied once, out of UCX's message into its range.</summary>
internal sealed partial class UcxConnection
{
    public TransportResult Receive(Span<byte> destination)
    {
        if (!TryEnter()) return AbortedResult();
        try
        {
            lock (_gate)
            {
                for (int done = 0; done < destination.Length;)
                {
                    int count = _input.Take(destination[done..]);
                    done += count;
                    if (AfterTaking(count)) continue;
                    if (ReceiveEnd(done, destination.Length) is { } end) return end;
                    if (!Pump()) WaitForChange();
                }
            }

            return TransportResult.Ok;
        }
        finally
        {
            Exit();
        }
    }

    public TransportResult ReceiveVectors(Span<IoRange> ranges)
    {
        if (!TryEnter()) return AbortedResult();
        try
        {
            long done = 0;
            lock (_gate)
            {
                for (ranges = IoRange.Advance(ranges, 0); !ranges.IsEmpty;)
                {
                    nint count = _input.Take(ranges[0].Address, ranges[0].LengthBytes);
                    if (count == 0)
                    {
                        if (ReceiveEnd(done, done + IoRange.TotalBytes(ranges)) is { } end) return end;
                        count = ReceiveAimed(ranges);
                    }

                    if (count == 0) continue;
                    done += count;
                    ranges = IoRange.Advance(ranges, count);
                    AfterTaking(count);
                }
            }

            return TransportResult.Ok;
        }
        finally
        {
            Exit();
        }
    }

    private nint ReceiveAimed(ReadOnlySpan<IoRange> ranges)
    {
        _input.Aim(ranges);
        nint count;
        try
        {
            if (!Pump()) WaitForChange();
        }
        finally
        {
            count = _input.TakeAimed();
        }

        return count;
    }

    public TransportResult Send(ReadOnlySpan<byte> bytes)
    {
        if (!TryEnter()) return AbortedResult();
        try
        {
            lock (_gate)
            {
                for (int done = 0; done < bytes.Length;)
                {
                    if (SendEnd(done, bytes.Length) is { } end) return end;
                    int slot = FreeSlot(out int room);
                    if (slot < 0)
                    {
                        if (!Pump()) WaitForChange();
                        continue;
                    }

                    ReadOnlySpan<byte> piece = bytes.Slice(done, Math.Min(room, bytes.Length - done));
                    _data.TryCopy(slot, piece);
                    Submit(slot, piece.Length);
                    done += piece.Length;
                }

                Pump();
            }

            return TransportResult.Ok;
        }
        finally
        {
            Exit();
        }
    }

    public TransportResult SendVectors(Span<IoRange> ranges) => SendVectors(ranges, wait: true, out _);

    public TransportResult TrySendVectors(Span<IoRange> ranges, out Span<IoRange> rest) => SendVectors(ranges, wait: false, out rest);

    public int TryReceive(Span<byte> destination, out TransportResult? end)
    {
        end = null;
        if (!TryEnter())
        {
            end = AbortedResult();
            return 0;
        }

        try
        {
            lock (_gate)
            {
                if (_receiveStopped)
                {
                    end = AbortedResult();
                    return 0;
                }

                if (_input.Waiting == 0) Pump();
                int count = _input.Take(destination);
                if (!AfterTaking(count)) end = ReceiveEnd(0, 0);
                return count;
            }
        }
        finally
        {
            Exit();
        }
    }

    public void WaitForData()
    {
        if (!TryEnter()) return;
        lock (_gate)
        {
            while (!IsReadable())
                if (!Pump()) WaitForChange();
        }

        Exit();
    }

    private TransportResult SendVectors(Span<IoRange> ranges, bool wait, out Span<IoRange> rest)
    {
        rest = [];
        if (!TryEnter()) return AbortedResult();
        try
        {
            long done = 0;
            lock (_gate)
            {
                try
                {
                    for (ranges = IoRange.Advance(ranges, 0); !ranges.IsEmpty;)
                    {
                        if (SendEnd(done, done + IoRange.TotalBytes(ranges)) is { } end) return end;
                        int slot = FreeSlot(out int room);
                        if (slot >= 0)
                        {
                            int count = Gather(ref ranges, slot, room, borrows: wait);
                            Submit(slot, count);
                            done += count;
                        }
                        else if (!Pump())
                        {
                            if (wait) WaitForChange();
                            else break;
                        }
                    }
                }
                finally
                {
                    if (wait) GiveBack();
                }

                rest = ranges;
                Pump();
            }

            return TransportResult.Ok;
        }
        finally
        {
            Exit();
        }
    }

    // Small ranges that follow each other go in one message, copied; long ones are read where they lie.
    private int Gather(ref Span<IoRange> ranges, int slot, int room, bool borrows)
    {
        int count = 0;
        while (count < room && !ranges.IsEmpty)
        {
            var piece = new IoRange(ranges[0].Address, Math.Min(room - count, ranges[0].LengthBytes));
            if (!(borrows && piece.LengthBytes >= BorrowedBytes ? _data.TryBorrow(slot, piece) : _data.TryCopy(slot, piece))) break;
            count += (int)piece.LengthBytes;
            ranges = IoRange.Advance(ranges, piece.LengthBytes);
        }

        return count;
    }

    // Returns when UCX reads no memory of the caller's any more.
    private void GiveBack()
    {
        int error = UcxStructures.Ok;
        while (_data.Borrow(ref error))
        {
            bool ended = SendEnd(0, 0) is not null;
            // A peer that is there and takes nothing would hold it for ever.
            if (ended && !_isClosed) CloseEndpoint();
            if (Pump()) continue;
            if (ended) Monitor.Wait(_gate, 1);
            else WaitForChange();
        }

        if (error != UcxStructures.Ok) Fail(error);
    }

    private int FreeSlot(out int room)
    {
        room = (int)Math.Min(ChunkBytes, _peerWindowBytes - (_sent - _peerTaken));
        if (room <= 0) return -1;
        int error = UcxStructures.Ok, slot = _data.Find(ref error);
        if (error != UcxStructures.Ok) Fail(error);
        return slot;
    }

    private void Submit(int slot, int count)
    {
        if (!_isClosed && !_data.TrySend(_endpoint!, slot, UcxMessageKind.Bytes, _sent, out int status)) Fail(status);
        _sent += count;
        Count(ref _bytesSent, count);
    }

    private bool AfterTaking(nint count)
    {
        if (count == 0) return false;
        Count(ref _bytesReceived, count);
        if (_input.Taken - _advertised >= _input.WindowBytes / 4) SendControl();
        return true;
    }
}

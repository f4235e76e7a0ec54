using System.Collections.Immutable;

namespace KvHandoff.Transport;

/// <summary>Writes into the listener's regions.</summary>
internal sealed partial class UcxConnection
{
    private const int MostWrites = 512;

    private readonly Queue<nint> _writes = new(MostWrites);
    private readonly Queue<(long Number, nint Request)> _flushes = new();
    private nint[] _keys = [];
    private long _flushStarted, _flushed;

    public ImmutableArray<long> RegionBytes
    {
        get
        {
            lock (_gate) return [.. _remote.Select(r => r.LengthBytes)];
        }
    }

    public TransportResult StartWrite(IoRange source, int region, long offsetBytes)
    {
        if ((uint)region >= (uint)_remote.Length) throw new ArgumentOutOfRangeException(nameof(region), region, $"The peer shares {_remote.Length} regions.");
        UcxRemoteRegion target = _remote[region];
        if (offsetBytes < 0 || source.LengthBytes < 0 || offsetBytes > target.LengthBytes - source.LengthBytes)
            throw new ArgumentOutOfRangeException(nameof(offsetBytes), $"{source.LengthBytes} bytes at {offsetBytes} are outside region {region} of {target.LengthBytes} bytes.");
        if (source.LengthBytes == 0) return TransportResult.Ok;
        if (!TryEnter()) return AbortedResult();
        try
        {
            lock (_gate)
            {
                while (true)
                {
                    if (SendEnd(0, source.LengthBytes) is { } end) return end;
                    FinishWrites();
                    if (_writes.Count < MostWrites) break;
                    if (!Pump()) WaitForChange();
                }

                if (_keys.Length == 0) UnpackKeys();
                if (_failed) return SendEnd(0, source.LengthBytes)!.Value;
                nint request = _endpoint!.Put(source.Address, source.LengthBytes, target.Address + (ulong)offsetBytes, _keys[region]);
                if (UcxStructures.IsError(request, out int status)) Fail(status);
                else if (request != 0) _writes.Enqueue(request);
                Count(ref _bytesSent, source.LengthBytes);
                return _failed ? SendEnd(0, source.LengthBytes)!.Value : TransportResult.Ok;
            }
        }
        finally
        {
            Exit();
        }
    }

    public TransportResult StartFlush(out long flush)
    {
        flush = 0;
        if (!TryEnter()) return AbortedResult();
        try
        {
            lock (_gate)
            {
                if (SendEnd(0, 0) is { } end) return end;
                nint request = _endpoint!.Flush();
                if (UcxStructures.IsError(request, out int status))
                {
                    Fail(status);
                    return SendEnd(0, 0)!.Value;
                }

                flush = ++_flushStarted;
                _flushes.Enqueue((flush, request));
                return TransportResult.Ok;
            }
        }
        finally
        {
            Exit();
        }
    }

    public TransportResult TryFinishFlush(long flush, out bool isDone)
    {
        isDone = false;
        if (!TryEnter()) return AbortedResult();
        try
        {
            lock (_gate)
            {
                Pump();
                FinishWrites();
                isDone = _flushed >= flush;
                return isDone ? TransportResult.Ok : SendEnd(0, 0) ?? TransportResult.Ok;
            }
        }
        finally
        {
            Exit();
        }
    }

    public TransportResult FinishFlush(long flush)
    {
        // Not refused after an abort: the caller's memory is read until the endpoint is closed, and this waits for that.
        if (!_use.TryEnter()) return AbortedResult();
        try
        {
            lock (_gate)
            {
                while (true)
                {
                    FinishWrites();
                    TransportResult? end = SendEnd(0, 0);
                    if (end is null && _flushed >= flush) return TransportResult.Ok;
                    if (end is not null && WritesAreDone()) return end.Value;
                    // A peer that is there and takes nothing would hold them for ever.
                    if (end is not null && !_isClosed) CloseEndpoint();
                    if (Pump()) continue;
                    if (end is null) WaitForChange();
                    else Monitor.Wait(_gate, 1);
                }
            }
        }
        finally
        {
            Exit();
        }
    }

    private void UnpackKeys()
    {
        var keys = new nint[_remote.Length];
        for (int i = 0; i < keys.Length; i++)
        {
            int status = _endpoint!.TryUnpack(_remote[i].Key, out keys[i]);
            if (status != UcxStructures.Ok) Fail(status);
        }

        _keys = keys;
    }

    private void FinishWrites()
    {
        while (_writes.TryPeek(out nint write))
        {
            if (!UcxEndpoint.TryFinish(ref write, out int status)) break;
            _writes.Dequeue();
            if (status != UcxStructures.Ok) Fail(status);
        }

        while (_flushes.TryPeek(out (long Number, nint Request) flush))
        {
            if (!UcxEndpoint.TryFinish(ref flush.Request, out int status)) break;
            _flushes.Dequeue();
            if (status != UcxStructures.Ok) Fail(status);
            else _flushed = flush.Number;
        }
    }

    /// <summary>Whether no write reads memory of this side any more.</summary>
    private bool WritesAreDone()
    {
        FinishWrites();
        return _writes.Count == 0 && _flushes.Count == 0;
    }

    private void ReleaseKeys()
    {
        foreach (nint key in _keys)
            if (key != 0) UcxEndpoint.Destroy(key);
        _keys = [];
    }
}

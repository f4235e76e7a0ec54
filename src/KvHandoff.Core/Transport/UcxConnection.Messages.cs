namespace KvHandoff.Transport;

/// <summary>What comes from the peer, and what is said to it beside the bytes. Under the lock.</summary>
internal sealed partial class UcxConnection
{
    void IUcxEvents.EndpointFailed(int status)
    {
        _reported = true;
        Fail(status);
        _changed = true;
    }

    void IUcxEvents.MessageArrived(ReadOnlySpan<byte> header, ReadOnlySpan<byte> data, bool isComplete)
    {
        _changed = true;
        if (!isComplete) _fault ??= "the peer sent a rendezvous message, which this protocol has not";
        else if (!UcxMessage.TryRead(header, out UcxMessageKind kind, out long value)) _fault ??= $"a message of {data.Length} bytes with a header of {header.Length} bytes is not one of this protocol";
        else if (_fault is null) _fault = Take(kind, value, data);
    }

    private string? Take(UcxMessageKind kind, long value, ReadOnlySpan<byte> data)
    {
        switch (kind)
        {
            case UcxMessageKind.Bytes when _endOffset >= 0 && value + data.Length > _endOffset:
                return $"{data.Length} bytes at {value} follow the end of the stream at {_endOffset}";
            case UcxMessageKind.Bytes:
                if (_input.Add(value, data) is { } wrong) return wrong;
                // Nobody reads any more: what comes only makes room for the end.
                if (_aborted) _input.Drop();
                return null;
            case UcxMessageKind.Credit when value > _sent || value < _peerTaken:
                return $"the peer has taken {value} bytes, after {_peerTaken}; {_sent} were sent";
            case UcxMessageKind.Credit:
                _peerTaken = value;
                return null;
            case UcxMessageKind.End when _endOffset >= 0 || value < _input.Arrived:
                return $"the peer ends its stream at {value}; {_input.Arrived} bytes have come, and the end was {_endOffset}";
            case UcxMessageKind.End:
                _endOffset = value;
                return null;
            case UcxMessageKind.EndSeen:
                _endSeen = true;
                return null;
            default:
                _peerReset = true;
                return null;
        }
    }

    private void Fail(int status)
    {
        if (_failed) return;
        _failed = true;
        _failedStatus = status;
    }

    /// <summary>Says what there is to say, as far as there is room.</summary>
    private void SendControl()
    {
        if (_isClosed || _failed || !_wired) return;
        if (_input.Taken - _advertised >= _input.WindowBytes / 4 && TrySend(UcxMessageKind.Credit, _input.Taken)) _advertised = _input.Taken;
        if (_sendEnded && !_endSent) _endSent = TrySend(UcxMessageKind.End, _sent);
        if (_endOffset == _input.Arrived && !_endSeenSent) _endSeenSent = TrySend(UcxMessageKind.EndSeen, 0);
        if (_gaveUp && !_resetSent) _resetSent = TrySend(UcxMessageKind.Reset, 0);
    }

    private bool TrySend(UcxMessageKind kind, long value)
    {
        int error = UcxStructures.Ok, slot = _control.Find(ref error);
        if (error != UcxStructures.Ok) Fail(error);
        if (slot < 0 || _failed) return false;
        if (_control.TrySend(_endpoint!, slot, kind, value, out int status)) return true;
        Fail(status);
        return false;
    }
}

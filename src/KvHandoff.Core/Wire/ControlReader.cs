using System.Buffers;
using System.IO.Pipelines;

namespace KvHandoff.Wire;

/// <summary>One of three: a message, why the bytes were refused, or (neither) the end of the stream between two messages.</summary>
public readonly record struct ControlReadResult(ControlMessage? Message, WireError? Error)
{
    /// <summary>Whether the peer closed the stream where a message would have begun.</summary>
    public bool IsEndOfStream => Message is null && Error is null;
}

/// <summary>Reads control messages. Calls that share a reader must not overlap.</summary>
public static class ControlReader
{
    /// <summary>Reads one message, header and body; null when it is one.</summary>
    public static WireError? TryRead(ReadOnlySpan<byte> source, out ControlMessage? message) => ControlCodec.TryRead(source, out message);

    /// <summary>
    /// Waits for the next message. A header with a length out of bounds is refused before its body is waited for; what is buffered is
    /// never more than has come. After an error the stream is out of step: close it.
    /// </summary>
    /// <exception cref="OperationCanceledException">Cancelled; no byte of the message is consumed.</exception>
    public static async ValueTask<ControlReadResult> ReadAsync(PipeReader input, CancellationToken ct = default)
    {
        ArgumentNullException.ThrowIfNull(input);
        while (true)
        {
            ReadResult read = await input.ReadAsync(ct).ConfigureAwait(false);
            ReadOnlySequence<byte> buffer = read.Buffer;
            if (read.IsCanceled)
            {
                input.AdvanceTo(buffer.Start);
                throw new OperationCanceledException("The read of a control message was cancelled.", ct);
            }

            if (TryTake(ref buffer, out ControlReadResult result))
            {
                input.AdvanceTo(buffer.Start);
                return result;
            }

            input.AdvanceTo(buffer.Start, buffer.End);
            if (!read.IsCompleted) continue;
            return buffer.IsEmpty ? default : new ControlReadResult(null, WireError.Truncated("The control stream", buffer.Length, ExpectedBytes(buffer)));
        }
    }

    // False when more bytes are needed. Takes the message off the front of the buffer.
    private static bool TryTake(ref ReadOnlySequence<byte> buffer, out ControlReadResult result)
    {
        result = default;
        if (buffer.Length < WireConstants.ControlHeaderBytes) return false;
        Span<byte> header = stackalloc byte[WireConstants.ControlHeaderBytes];
        buffer.Slice(0, header.Length).CopyTo(header);
        if (ControlCodec.TryReadHeader(header, out int bodyBytes) is { } error)
        {
            result = new ControlReadResult(null, error);
            return true;
        }

        int bytes = header.Length + bodyBytes;
        if (buffer.Length < bytes) return false;
        result = Parse(buffer.Slice(0, bytes), bytes);
        buffer = buffer.Slice(bytes);
        return true;
    }

    private static ControlReadResult Parse(in ReadOnlySequence<byte> bytes, int length)
    {
        if (bytes.IsSingleSegment) return Parse(bytes.FirstSpan);
        byte[] whole = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            bytes.CopyTo(whole);
            return Parse(whole.AsSpan(0, length));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(whole);
        }
    }

    private static ControlReadResult Parse(ReadOnlySpan<byte> bytes)
    {
        WireError? error = ControlCodec.TryRead(bytes, out ControlMessage? message);
        return new ControlReadResult(message, error);
    }

    private static long ExpectedBytes(in ReadOnlySequence<byte> buffer)
    {
        if (buffer.Length < WireConstants.ControlHeaderBytes) return WireConstants.ControlHeaderBytes;
        Span<byte> header = stackalloc byte[WireConstants.ControlHeaderBytes];
        buffer.Slice(0, header.Length).CopyTo(header);
        ControlCodec.TryReadHeader(header, out int bodyBytes);
        return header.Length + bodyBytes;
    }
}

using System.Buffers;
using System.IO.Pipelines;

namespace KvHandoff.Wire;

/// <summary>Writes control messages. Calls that share a writer must not overlap.</summary>
public static class ControlWriter
{
    /// <summary>Appends one message to <paramref name="output"/>.</summary>
    /// <exception cref="ArgumentException">A field is out of range or a text too long; nothing is written.</exception>
    public static void Encode(ControlMessage message, IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(message);
        ArgumentNullException.ThrowIfNull(output);
        ControlCodec.Encode(message, output);
    }

    /// <summary>Writes one message and flushes it.</summary>
    /// <exception cref="ArgumentException">A field is out of range or a text too long; nothing is written.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; the message may be written in part or whole.</exception>
    public static async ValueTask WriteAsync(PipeWriter output, ControlMessage message, CancellationToken ct = default)
    {
        Encode(message, output);
        FlushResult flushed = await output.FlushAsync(ct).ConfigureAwait(false);
        if (flushed.IsCanceled) throw new OperationCanceledException("The flush of a control message was cancelled.", ct);
    }
}

using System.IO.Pipelines;
using System.Net;

namespace KvHandoff.Transport;

/// <summary>
/// One ordered byte stream in each direction. It starts raw, for a preface by <see cref="SendAsync"/> and <see cref="ReceiveAsync"/>,
/// and is from then on either a control connection (<see cref="AsPipe"/>) or a data connection (the blocking calls).
/// </summary>
/// <remarks>
/// <para>One caller at a time per direction; the two directions are independent. <see cref="Abort"/>, <see cref="Counters"/> and
/// disposal may come from any thread at any time: the descriptor is released only when the last call has left.</para>
/// <para>A transfer is exact: it moves all bytes or says why not, and then that direction is not to be used again.
/// The blocking calls have no timeout; a deadline calls <see cref="Abort"/>.</para>
/// </remarks>
public interface IConnection : IAsyncDisposable, IDisposable
{
    /// <summary>The peer's address, or null where the transport has none.</summary>
    EndPoint? Remote { get; }

    /// <summary>Transport, local and remote address, for messages.</summary>
    string Description { get; }

    /// <summary>What has passed so far.</summary>
    TransportCounters Counters { get; }

    /// <summary>Whether the connection does something with each call by itself, so that a caller is not to put several messages into one.</summary>
    bool ActsOnMessages => false;

    /// <summary>Fills <paramref name="destination"/>, blocking the thread.</summary>
    TransportResult Receive(Span<byte> destination);

    /// <summary>Fills every range in order, blocking the thread. Nothing is staged: the kernel writes to the ranges themselves.</summary>
    /// <param name="ranges">Any number of ranges; scratch, the call changes them.</param>
    TransportResult ReceiveVectors(Span<IoRange> ranges);

    /// <summary>Sends all of <paramref name="bytes"/>, blocking the thread. Ok says that the memory is reusable, not that the peer has it.</summary>
    TransportResult Send(ReadOnlySpan<byte> bytes);

    /// <summary>Sends every range in order, blocking the thread.</summary>
    /// <param name="ranges">Any number of ranges; scratch, the call changes them.</param>
    TransportResult SendVectors(Span<IoRange> ranges);

    /// <summary>
    /// Fills <paramref name="destination"/>. Cancellation gives <see cref="TransportStatus.Aborted"/>, after which the position in the
    /// stream is unknown: dispose the connection.
    /// </summary>
    ValueTask<TransportResult> ReceiveAsync(Memory<byte> destination, CancellationToken cancellationToken);

    /// <summary>Sends all of <paramref name="bytes"/>; cancellation as for <see cref="ReceiveAsync"/>.</summary>
    ValueTask<TransportResult> SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken);

    /// <summary>Says that nothing more will be sent: the peer reads what was sent, then <see cref="TransportStatus.Closed"/>.</summary>
    TransportResult CompleteSend();

    /// <summary>
    /// Turns the connection into a control connection; the same pipe on every call. No raw call may run then or later.
    /// </summary>
    /// <remarks>
    /// At most 64 KiB wait in either direction before the writer is paused. <c>Output.Complete()</c> sends what is left and then ends the
    /// stream, and with an exception it aborts; <c>Input.Complete()</c> stops receiving. The peer's orderly end completes <c>Input</c>; a broken stream makes
    /// <c>ReadAsync</c> and <c>FlushAsync</c> throw a <see cref="TransportException"/>. <c>DisposeAsync</c> waits up to
    /// <see cref="TransportOptions.DrainTimeout"/> for a completed output; <c>Dispose</c> does not.
    /// </remarks>
    IDuplexPipe AsPipe();

    /// <summary>
    /// Ends both directions at once: calls that are blocked return, and they and all later ones give
    /// <see cref="TransportStatus.Aborted"/>. What the peer has not read may be lost. Never blocks.
    /// </summary>
    void Abort();
}

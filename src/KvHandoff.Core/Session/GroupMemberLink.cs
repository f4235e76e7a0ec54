using System.Collections.Concurrent;
using System.Collections.Immutable;
using KvHandoff.Layout;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

/// <summary>
/// A receiver's connection to the one that commits for its groups. What was reported is reported again after a break, until the decision
/// comes or the handoff has ended: messages may be lost, the word is not.
/// </summary>
internal sealed class GroupMemberLink : IAsyncDisposable
{
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(100);

    private readonly string _endpoint;
    private readonly CachePart _part;
    private readonly KvReceiverOptions _options;
    private readonly Action<Decision> _decided;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<Guid, ImmutableArray<Prepared>> _undecided = new();
    private readonly ConcurrentQueue<Prepared> _failed = new();
    private readonly SemaphoreSlim _changed = new(0);
    private readonly Task _running;

    internal GroupMemberLink(string endpoint, CachePart part, KvReceiverOptions options, Action<Decision> decided)
    {
        _endpoint = endpoint;
        _part = part;
        _options = options;
        _decided = decided;
        _running = Task.Run(RunAsync);
    }

    /// <summary>Tells the coordinator, in one message or several; a complete part is told again until it is decided.</summary>
    internal void Report(params ImmutableArray<Prepared> prepared)
    {
        if (prepared[0].Complete) _undecided[prepared[0].HandoffId] = prepared;
        else _failed.Enqueue(prepared[0]);
        _changed.Release();
    }

    internal void Forget(Guid id) => _undecided.TryRemove(id, out _);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
    }

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await _changed.WaitAsync(_stop.Token).ConfigureAwait(false);
                await using ControlChannel channel = await ConnectAsync().ConfigureAwait(false);
                await ServeAsync(channel).ConfigureAwait(false);
            }
            catch (Exception e) when (e is TransportException or HandoffException or OperationCanceledException)
            {
                // The coordinator is not there now. What it has to hear it hears later, or the deadline ends the handoff.
            }

            if (_undecided.IsEmpty && _failed.IsEmpty) continue;
            try
            {
                await Task.Delay(RetryInterval, _options.TimeProvider, _stop.Token).ConfigureAwait(false);
                _changed.Release();
            }
            catch (OperationCanceledException)
            {
            }
        }
    }

    private async Task<ControlChannel> ConnectAsync()
    {
        (ITransport transport, TransportEndpoint address) = Handshake.Resolve(_endpoint);
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        timeout.CancelAfter(_options.HandshakeTimeout);
        IConnection connection = await transport.ConnectAsync(address, _options.Transport, timeout.Token).ConfigureAwait(false);
        TransportResult sent = await Handshake.SendPrefaceAsync(connection, ConnectionPreface.Control, timeout.Token).ConfigureAwait(false);
        var control = new ControlChannel(connection);
        try
        {
            if (!sent.IsOk) throw new HandoffException(HandoffFailure.PeerGone, $"{_endpoint} closed the connection at once: {sent.Status} {sent.Message}");
            await control.SendAsync(new Hello(_part.Layout, _options.Name, 1) { IsGroupMember = true, Shard = _part.IsAll ? default : ShardCodec.Write(_part) }, timeout.Token).ConfigureAwait(false);
            ControlReadResult read = await control.ReadAsync(timeout.Token).ConfigureAwait(false);
            if (read.Message is Welcome) return control;
            throw new HandoffException(HandoffFailure.ProtocolMismatch, $"{_endpoint} did not welcome this member of its groups: {read.Error?.Message ?? read.Message?.ToString() ?? "it closed the connection"}");
        }
        catch
        {
            await control.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private async Task ServeAsync(ControlChannel channel)
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        Task reading = ReadAsync(channel, ended);
        var told = new HashSet<Guid>();
        try
        {
            while (!ended.IsCancellationRequested)
            {
                foreach ((Guid id, ImmutableArray<Prepared> messages) in _undecided)
                {
                    if (!told.Add(id)) continue;
                    foreach (Prepared prepared in messages) await channel.SendAsync(prepared, ended.Token).ConfigureAwait(false);
                }

                while (_failed.TryDequeue(out Prepared? failed)) await channel.SendAsync(failed, ended.Token).ConfigureAwait(false);
                await _changed.WaitAsync(ended.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
        }

        channel.Abort();
        await reading.ConfigureAwait(false);
    }

    private async Task ReadAsync(ControlChannel channel, CancellationTokenSource ended)
    {
        try
        {
            while ((await channel.ReadAsync(ended.Token).ConfigureAwait(false)).Message is Decision decision)
            {
                Forget(decision.HandoffId);
                _decided(decision);
            }
        }
        catch (OperationCanceledException)
        {
        }

        await ended.CancelAsync().ConfigureAwait(false);
    }
}

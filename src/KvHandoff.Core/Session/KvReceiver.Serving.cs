using System.Security.Cryptography;
using KvHandoff.Layout;
using KvHandoff.Transport;
using KvHandoff.Wire;

namespace KvHandoff.Session;

// Connections that come in, and what time brings.
public sealed partial class KvReceiver
{
    private static readonly TimeSpan ScanInterval = TimeSpan.FromMilliseconds(10);

    private async Task AcceptAsync()
    {
        while (true)
        {
            IConnection? connection;
            try
            {
                connection = await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is OperationCanceledException or TransportException or ObjectDisposedException)
            {
                return;
            }

            if (connection is null) return;
            Task serving = ServeAsync(connection);
            _serving[serving] = 0;
            _ = serving.ContinueWith((done, _) => _serving.TryRemove(done, out byte _), null, TaskScheduler.Default);
        }
    }

    private async Task ServeAsync(IConnection connection)
    {
        await Task.Yield();
        try
        {
            await GreetAsync(connection).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The receiver shuts down in the middle of a greeting.
            connection.Dispose();
        }
    }

    private async Task GreetAsync(IConnection connection)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        timeout.CancelAfter(_options.HandshakeTimeout);
        (ConnectionPreface preface, WireError? error) = await Handshake.ReadPrefaceAsync(connection, timeout.Token).ConfigureAwait(false);
        if (error is not null)
        {
            LastFault = error.Message;
            connection.Dispose();
            return;
        }

        if (preface.Kind == ConnectionKind.Data)
        {
            string? refused = preface.Epoch != Epoch ? $"A data connection names epoch {preface.Epoch}; this receiver's is {Epoch}."
                : !_peers.TryGetValue(preface.ConnectionToken, out ReceiverPeer? owner) ? $"A data connection names token {preface.ConnectionToken}, which no sender holds."
                : !owner.TryAddStream(connection, _options.MaxStreams) ? $"A sender opened more than {_options.MaxStreams} data connections."
                : null;
            if (refused is null) return;
            LastFault = refused;
            connection.Dispose();
            return;
        }

        var control = new ControlChannel(connection);
        (Hello Hello, TransferPlan? Plan)? greeting = await Handshake.ReceiveHelloAsync(control, _part, text => LastFault = text, timeout.Token).ConfigureAwait(false);
        if (greeting is not var (hello, plan))
        {
            await control.DisposeAsync().ConfigureAwait(false);
            return;
        }

        var token = new Guid(RandomNumberGenerator.GetBytes(16));
        var welcome = new Welcome(Epoch, token, _cache.Layout, Math.Min(hello.Streams, _options.MaxStreams), _options.Name) { Shard = _part.IsAll ? default : ShardCodec.Write(_part) };
        if (plan is not null && connection is ISharedMemoryPeer && !_options.Transport.SharedRegions.IsEmpty) welcome = welcome with { Window = CacheWindow.Write(_cache, _options.Transport.SharedRegions), TrustsSameHost = _options.SameHostTrust };
        if (plan is not null && connection is IRemoteMemoryPeer { OffersRegions: true }) welcome = welcome with { Window = CacheWindow.Describe(_cache, _options.Transport.RemoteRegions) };
        if (plan is null)
        {
            await control.SendAsync(welcome, _stop.Token).ConfigureAwait(false);
            await _groups.ServeMemberAsync(control, _stop.Token).ConfigureAwait(false);
            return;
        }

        var peer = new ReceiverPeer(this, _desk, control, token, hello.SenderName, plan) { HasWindow = !welcome.Window.IsEmpty };
        _peers[peer.Token] = peer;
        await control.SendAsync(welcome, _stop.Token).ConfigureAwait(false);
        await peer.ServeAsync(_stop.Token).ConfigureAwait(false);
        await peer.DisposeAsync().ConfigureAwait(false);
        Interlocked.Add(ref _bytesOfGonePeers, peer.DataBytesReceived);
        _peers.TryRemove(peer.Token, out _);
    }

    private async Task ExpireAsync()
    {
        using var timer = new PeriodicTimer(ScanInterval, _options.TimeProvider);
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token).ConfigureAwait(false))
            {
                long now = Clock.NowMilliseconds;
                foreach (IncomingHandoff handoff in _landing.Values)
                {
                    if (handoff.Overdue(now) is { } reason) handoff.Fail(AbortReason.Expired, reason);
                }

                foreach ((IncomingHandoff handoff, long since) in _ending)
                {
                    // A frame that has begun may come to its end, and a sender may let go; one that is stalled holds the blocks until its connection is cut.
                    bool inUse = handoff.Use.Count > 0, isQuarantined = handoff.IsQuarantined;
                    if ((inUse || isQuarantined) && now - since <= _options.Lease.TotalMilliseconds) continue;
                    _ending.TryRemove(handoff, out _);
                    foreach (IncomingPart part in handoff.Parts)
                    {
                        if (isQuarantined) part.Peer?.Disconnect($"The sender did not let go of ended handoff {handoff.Id} within {_options.Lease.TotalMilliseconds} ms.");
                        else if (inUse) part.Peer?.AbortStreams();
                    }
                }

                _desk.ServeWaiting(now);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}

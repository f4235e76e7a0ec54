using KvHandoff.Session;

namespace KvHandoff.Native;

/// <summary>A receiver, and the granted handoffs that the host has not asked for yet.</summary>
sealed class NativeReceiver : NativeSource
{
    readonly NativeCache _cache;
    readonly NativeKeyring? _keyring;
    readonly Lock _gate = new();
    readonly Queue<IncomingHandoff> _waiting = new();
    readonly CancellationTokenSource _stop = new();
    Task _pumping = Task.CompletedTask;
    TicketVerifier? _verifier;

    internal NativeReceiver(NativeCache cache, NativeTls? tls, NativeKeyring? keyring) : base([.. new NativeObject?[] { cache, tls, keyring }.OfType<NativeObject>()])
    {
        _cache = cache;
        _keyring = keyring;
    }

    internal KvReceiver Receiver { get; private set; } = null!;

    internal NativeCache Cache => _cache;

    internal override bool ClosingWaits => true;

    internal void Listen(string endpoint, KvReceiverOptions options, TimeSpan clockSkew)
    {
        _verifier = _keyring?.CreateVerifier(options.Name, clockSkew);
        try
        {
            Receiver = KvReceiver.ListenAsync(endpoint, _cache.Cache, options with { Tickets = _verifier }).GetAwaiter().GetResult();
        }
        catch
        {
            if (_verifier is not null) _keyring!.Forget(_verifier);
            throw;
        }

        _pumping = PumpAsync();
    }

    /// <summary>The next handoff that the host has not seen, or null.</summary>
    internal IncomingHandoff? Next()
    {
        lock (_gate)
        {
            if (!_waiting.TryDequeue(out IncomingHandoff? next)) return null;
            if (_waiting.Count == 0) Events.Withdraw(HandleEvents.Incoming);
            return next;
        }
    }

    protected override void Free()
    {
        _stop.Cancel();
        _pumping.GetAwaiter().GetResult();
        while (Next() is { } nobodys) nobodys.DisposeAsync().AsTask().GetAwaiter().GetResult();
        Receiver.DisposeAsync().AsTask().GetAwaiter().GetResult();
        if (_verifier is not null) _keyring!.Forget(_verifier);
        _stop.Dispose();
    }

    async Task PumpAsync()
    {
        try
        {
            await foreach (IncomingHandoff incoming in Receiver.IncomingAsync(_stop.Token).ConfigureAwait(false))
            {
                lock (_gate)
                {
                    _waiting.Enqueue(incoming);
                    Events.Raise(HandleEvents.Incoming);
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}

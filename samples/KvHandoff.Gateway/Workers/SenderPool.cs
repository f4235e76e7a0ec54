using KvHandoff.Layout;
using KvHandoff.Session;
using KvHandoff.Transport;

namespace KvHandoff.Gateway.Workers;

/// <summary>
/// Connections to the receivers of other workers, kept from request to request. A sender connects again by itself when its receiver does;
/// one that cannot is forgotten, and the next request makes a new one.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class SenderPool(WorkerOptions options, PagedKvCache cache) : IAsyncDisposable
{
    // More targets than that are seen only when workers come and go: the one unused longest is closed.
    private const int MostSenders = 64;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    private long _clock;
    private bool _disposed;

    /// <summary>The sender to an endpoint, for one request; dispose it after the handoff.</summary>
    /// <exception cref="HandoffException">No connection, or a cache that does not match.</exception>
    /// <exception cref="ArgumentException">The endpoint cannot be parsed.</exception>
    public async Task<Use> UseAsync(string endpoint, CancellationToken cancellationToken)
    {
        Entry entry;
        Entry? unused = null;
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (!_entries.TryGetValue(endpoint, out entry!))
            {
                entry = new Entry(endpoint, ConnectAsync(endpoint));
                _entries.Add(endpoint, entry);
                if (_entries.Count > MostSenders && _entries.Values.Where(e => e.Uses == 0 && e != entry).MinBy(e => e.UsedAt) is { } oldest) _entries.Remove((unused = oldest).Endpoint);
            }

            entry.Uses++;
            entry.UsedAt = ++_clock;
        }

        if (unused is not null) await CloseAsync(unused);
        try
        {
            return new Use(this, entry, await entry.Sender.WaitAsync(cancellationToken));
        }
        catch (Exception e)
        {
            Return(entry);
            if (e is not OperationCanceledException) Forget(entry);
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        Entry[] all;
        lock (_gate)
        {
            _disposed = true;
            all = [.. _entries.Values];
            _entries.Clear();
        }

        foreach (Entry entry in all) await CloseAsync(entry);
    }

    private Task<KvSender> ConnectAsync(string endpoint) => KvSender.ConnectAsync(endpoint, cache, new KvSenderOptions
    {
        Name = options.Name,
        Codec = options.Codec,
        Transport = new TransportOptions { AllowRemotePlaintext = options.AllowPlaintext },
    });

    private void Return(Entry entry)
    {
        lock (_gate) entry.Uses--;
    }

    private void Forget(Entry entry)
    {
        lock (_gate)
        {
            if (_entries.GetValueOrDefault(entry.Endpoint) != entry) return;
            _entries.Remove(entry.Endpoint);
        }

        _ = CloseAsync(entry);
    }

    private static async Task CloseAsync(Entry entry)
    {
        try
        {
            await (await entry.Sender).DisposeAsync();
        }
        catch (Exception e) when (e is HandoffException or ArgumentException or OperationCanceledException)
        {
            // It never was connected: whoever asked for it was told.
        }
    }

    private sealed class Entry(string endpoint, Task<KvSender> sender)
    {
        internal string Endpoint { get; } = endpoint;

        internal Task<KvSender> Sender { get; } = sender;

        internal int Uses { get; set; }

        internal long UsedAt { get; set; }
    }

    /// <summary>A sender while one request needs it.</summary>
    internal sealed class Use : IDisposable
    {
        private readonly SenderPool _pool;
        private readonly Entry _entry;
        private int _returned;

        internal Use(SenderPool pool, object entry, KvSender sender) => (_pool, _entry, Sender) = (pool, (Entry)entry, sender);

        public KvSender Sender { get; }

        /// <summary>The receiver is gone: others are not to try this connection first.</summary>
        public void Discard() => _pool.Forget(_entry);

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _returned, 1) == 0) _pool.Return(_entry);
        }
    }
}

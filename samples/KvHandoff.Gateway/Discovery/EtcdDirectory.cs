using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Discovery;

/// <summary>
/// Workers as etcd has them: the state first, then every change. While etcd is away the known workers stay, and the pool's own watch says
/// which of them answer; when it is back the state is taken again.
/// </summary>
internal sealed class EtcdDirectory(EtcdClient etcd, string prefix, Func<string, string, IWorker> connect, Action<string> note) : IWorkerDirectory
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(200), LongestPause = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _ended = new();
    private readonly Dictionary<string, WorkerEntry> _known = new(StringComparer.Ordinal);
    private Task _following = Task.CompletedTask;

    public Task StartAsync(WorkerPool pool, CancellationToken cancellationToken)
    {
        _following = Task.Run(() => FollowAsync(pool), cancellationToken);
        return Task.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        await _following;
        etcd.Dispose();
        _ended.Dispose();
    }

    private async Task FollowAsync(WorkerPool pool)
    {
        TimeSpan pause = FirstPause;
        string said = "";
        while (!_ended.IsCancellationRequested)
        {
            try
            {
                (long revision, Dictionary<string, byte[]> values) = await etcd.RangeAsync(prefix, _ended.Token);
                foreach (string gone in _known.Keys.Except(values.Keys).ToArray()) Apply(pool, new EtcdChange(gone, null));
                foreach ((string key, byte[] value) in values) Apply(pool, new EtcdChange(key, value));
                (pause, said) = (FirstPause, "");
                await foreach (IReadOnlyList<EtcdChange> changes in etcd.WatchAsync(prefix, revision + 1, _ended.Token))
                {
                    foreach (EtcdChange change in changes) Apply(pool, change);
                }
            }
            catch (OperationCanceledException) when (_ended.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is EtcdException or FormatException or InvalidOperationException or KeyNotFoundException or OperationCanceledException)
            {
                if (e.Message != said) note($"directory: {said = e.Message}");
            }

            await Task.Delay(pause, _ended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    private void Apply(WorkerPool pool, EtcdChange change)
    {
        WorkerEntry? entry = change.Value is null ? null : WorkerEntry.Decode(change.Value);
        if (change.Value is not null && entry is null) note($"directory: {change.Key} holds what is no worker; it is left out");
        if (_known.TryGetValue(change.Key, out WorkerEntry? before))
        {
            if (before == entry) return;
            _known.Remove(change.Key);
            if (entry?.Name != before.Name) pool.Remove(before.Name);
            if (entry is null) note($"worker {before.Name} has left");
        }

        if (entry is null) return;
        try
        {
            pool.Add(connect(entry.Name, entry.Address), entry.Address);
            _known[change.Key] = entry;
            note($"worker {entry.Name} at {entry.Address}");
        }
        catch (Exception e) when (e is ArgumentException or FormatException)
        {
            note($"directory: {change.Key}: {e.Message}");
        }
    }
}

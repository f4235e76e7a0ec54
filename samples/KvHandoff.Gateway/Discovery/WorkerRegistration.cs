namespace KvHandoff.Gateway.Discovery;

/// <summary>
/// Keeps a worker in etcd for as long as this process lives: a key under a lease that is kept alive. A lease that was lost is taken again; when the
/// process dies the lease runs out and the key goes with it. Disposing takes it out at once.
/// </summary>
internal sealed class WorkerRegistration : IAsyncDisposable
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(200), LongestPause = TimeSpan.FromSeconds(5), Farewell = TimeSpan.FromSeconds(2);

    private readonly EtcdClient _etcd;
    private readonly string _prefix;
    private readonly WorkerEntry _entry;
    private readonly TimeSpan _timeToLive;
    private readonly Action<string> _note;
    private readonly CancellationTokenSource _ended = new();
    private readonly Task _keeping;
    private long _lease;

    /// <param name="etcd">Owned by the registration.</param>
    /// <param name="prefix">Where workers are kept.</param>
    /// <param name="entry">The worker.</param>
    /// <param name="timeToLive">How long a dead worker stays in the directory, 1 second or more.</param>
    /// <param name="note">Says what went wrong; the worker serves on.</param>
    internal WorkerRegistration(EtcdClient etcd, string prefix, WorkerEntry entry, TimeSpan timeToLive, Action<string> note)
    {
        (_etcd, _prefix, _entry, _timeToLive, _note) = (etcd, prefix, entry, timeToLive, note);
        _keeping = Task.Run(KeepAsync);
    }

    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        await _keeping;
        if (_lease != 0)
        {
            using var limit = new CancellationTokenSource(Farewell);
            try
            {
                await _etcd.RevokeAsync(_lease, limit.Token);
            }
            catch (Exception e) when (e is EtcdException or OperationCanceledException)
            {
                // Then the lease runs out by itself.
            }
        }

        _etcd.Dispose();
        _ended.Dispose();
    }

    private async Task KeepAsync()
    {
        TimeSpan pause = FirstPause;
        string said = "";
        while (!_ended.IsCancellationRequested)
        {
            try
            {
                _lease = await _etcd.GrantAsync(_timeToLive, _ended.Token);
                await _etcd.PutAsync(_prefix + _entry.Name, _entry.Encode(), _lease, _ended.Token);
                (pause, said) = (FirstPause, "");
                do
                {
                    await Task.Delay(_timeToLive / 3, _ended.Token);
                }
                while (await _etcd.KeepAliveAsync(_lease, _ended.Token));
            }
            catch (OperationCanceledException) when (_ended.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is EtcdException or FormatException or InvalidOperationException or OperationCanceledException)
            {
                if (e.Message != said) _note($"directory: {said = e.Message}");
                await Task.Delay(pause, _ended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
        }
    }
}

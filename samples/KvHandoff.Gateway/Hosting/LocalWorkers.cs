using System.Diagnostics;
using System.Globalization;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Discovery;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Hosting;

/// <summary>The workers that this process starts, and starts again when they die: at once the first time, ever more slowly when they die early.</summary>
internal sealed class LocalWorkers : IWorkerDirectory
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60), FirstPause = TimeSpan.FromMilliseconds(200), LongestPause = TimeSpan.FromSeconds(10), Healthy = TimeSpan.FromSeconds(30);

    private readonly GatewaySettings _settings;
    private readonly IReadOnlyDictionary<string, string> _environment;
    private readonly Func<string, string, IWorker> _connect;
    private readonly Action<string> _note;
    private readonly CancellationTokenSource _ended = new();
    private readonly string _folder;
    private readonly List<Task> _keeping = [];

    /// <param name="settings">How many workers, and what they have.</param>
    /// <param name="environment">Variables that workers get; the key of the tickets among them.</param>
    /// <param name="connect">Makes a worker of a name and a control address.</param>
    /// <param name="note">Says what happens.</param>
    internal LocalWorkers(GatewaySettings settings, IReadOnlyDictionary<string, string> environment, Func<string, string, IWorker> connect, Action<string> note)
    {
        (_settings, _environment, _connect, _note) = (settings, environment, connect, note);
        // Only this user gets at the control sockets.
        _folder = Directory.CreateTempSubdirectory("kvhandoff-").FullName;
    }

    /// <summary>Starts all of them and waits until each serves or has failed once.</summary>
    public async Task StartAsync(WorkerPool pool, CancellationToken cancellationToken)
    {
        var first = new List<Task>();
        foreach ((Role role, int count) in ((Role, int)[])[(Role.Prefill, _settings.PrefillWorkers), (Role.Decode, _settings.DecodeWorkers), (Role.Both, _settings.MonolithicWorkers)])
        {
            for (int i = 0; i < count; i++)
            {
                var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                string name = string.Create(CultureInfo.InvariantCulture, $"{role.ToString().ToLowerInvariant()}-{i}");
                _keeping.Add(Task.Run(() => KeepAsync(role, name, pool, started), CancellationToken.None));
                first.Add(started.Task);
            }
        }

        await Task.WhenAll(first).WaitAsync(cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        await Task.WhenAll(_keeping);
        Directory.Delete(_folder, recursive: true);
        _ended.Dispose();
    }

    private async Task KeepAsync(Role role, string name, WorkerPool pool, TaskCompletionSource started)
    {
        TimeSpan pause = FirstPause;
        for (int run = 0; !_ended.IsCancellationRequested; run++)
        {
            long since = Stopwatch.GetTimestamp();
            string address = $"unix://{Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"{name}.{run}"))}";
            try
            {
                await using WorkerProcess process = WorkerProcess.Start(name, Arguments(role, name, address), _environment, _note);
                using var limit = CancellationTokenSource.CreateLinkedTokenSource(_ended.Token);
                limit.CancelAfter(StartLimit);
                ReadyLine ready = await process.ReadyAsync(limit.Token);
                pool.Add(_connect(name, ready.Address), ready.Address);
                _note(string.Create(CultureInfo.InvariantCulture, $"worker {name}: process {process.Id}, control {ready.Address}{(role == Role.Decode ? $", receives at {ready.Handoff}" : "")}"));
                started.TrySetResult();
                await process.Exited.WaitAsync(_ended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (_ended.IsCancellationRequested) return;
                pool.Remove(name);
                _note($"worker {name} (process {process.Id}) has ended; it is started again");
            }
            catch (OperationCanceledException) when (_ended.IsCancellationRequested)
            {
                return;
            }
            catch (OperationCanceledException)
            {
                _note($"worker {name} did not serve within {StartLimit.TotalSeconds:0} s; it is started again");
            }
            catch (Exception e) when (e is InvalidOperationException or System.ComponentModel.Win32Exception or IOException)
            {
                _note($"{e.Message} It is started again.");
            }

            started.TrySetResult();
            pause = Stopwatch.GetElapsedTime(since) > Healthy ? FirstPause : pause;
            await Task.Delay(pause, _ended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    // Each phase has all processors, shared among its workers, and so has each route: phases take turns more often than they meet.
    private int ThreadsOf(Role role) => Math.Max(1, Environment.ProcessorCount / role switch
    {
        Role.Prefill => _settings.PrefillWorkers,
        Role.Decode => _settings.DecodeWorkers,
        _ => _settings.MonolithicWorkers,
    });

    private List<string> Arguments(Role role, string name, string address)
    {
        List<string> arguments = ["--role", role.ToString().ToLowerInvariant(), "--name", name, "--control", address, "--handoff", _settings.Transport == "tcp" ? "tcp://127.0.0.1:0" : _settings.Transport];
        Add("--pool", _settings.Pool);
        Add("--model", _settings.Model);
        Add("--cache-tokens", _settings.CacheTokens?.ToString(CultureInfo.InvariantCulture));
        Add("--batch", _settings.BatchSize?.ToString(CultureInfo.InvariantCulture));
        Add("--threads", (_settings.Threads ?? ThreadsOf(role)).ToString(CultureInfo.InvariantCulture));
        return arguments;

        void Add(string option, string? value)
        {
            if (value is not null) arguments.AddRange([option, value]);
        }
    }
}

using System.Collections.Concurrent;
using System.Diagnostics;
using KvHandoff.Transport;

namespace KvHandoff.Fuzz;

/// <summary>
/// Two processes that hand caches over; one is killed at some moment, with no chance to say anything. The other must serve a fresh peer, with good rows and
/// with all blocks free in between.
/// </summary>
internal static class KillDriver
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(40);

    internal static async Task<bool> RunAsync(int kills, ulong seed, Action<string> report)
    {
        var random = new Random((int)seed);
        bool good = true;
        int done = 0;
        string[] transports = UcxTransport.Unavailable is null ? ["tcp", "shm", "ucx"] : ["tcp", "shm"];
        if (UcxTransport.Unavailable is { } missing) report($"no kills over ucx: {missing}");
        foreach (string transport in transports)
        {
            string name = $"shm://@kvhandoff-kill-{Environment.ProcessId}";
            string endpoint = transport == "shm" ? name : $"{transport}://127.0.0.1:0";
            Worker? receiver = null, sender = null;
            try
            {
                (receiver, endpoint) = await ListenAsync(endpoint);
                sender = Worker.Start("sender", endpoint);
                await sender.WaitForAsync("sent");
                int index = Array.IndexOf(transports, transport), share = kills * (index + 1) / transports.Length - kills * index / transports.Length;
                for (int i = 0; i < share; i++, done++)
                {
                    await Task.Delay(random.Next(60));
                    if (random.Next(2) == 0)
                    {
                        sender.Kill();
                        receiver.Ask();
                        string held = await receiver.WaitForAsync("free", "held", "corrupt");
                        if (held != "free") throw new InvalidOperationException($"after the sender was killed the receiver says: {held}");
                        sender = Worker.Start("sender", endpoint);
                        await sender.WaitForAsync("sent");
                    }
                    else
                    {
                        receiver.Kill();
                        receiver = (await ListenAsync(endpoint)).Receiver;
                        sender.Forget();
                        string line = await sender.WaitForAsync("sent", "held");
                        if (line != "sent") throw new InvalidOperationException($"after the receiver was killed the sender says: {line}");
                    }

                    if (receiver.Lines.FirstOrDefault(l => l.StartsWith("corrupt", StringComparison.Ordinal)) is { } corrupt) throw new InvalidOperationException(corrupt);
                }
            }
            catch (Exception e) when (e is InvalidOperationException or TimeoutException)
            {
                report($"{transport}, kill {done}: {e.Message}; receiver: {string.Join(" | ", receiver?.Lines.TakeLast(5) ?? [])}; sender: {string.Join(" | ", sender?.Lines.TakeLast(5) ?? [])}");
                good = false;
            }
            finally
            {
                receiver?.Kill();
                sender?.Kill();
            }
        }

        report($"{done} of {kills} kills survived");
        return good && done == kills;
    }

    // The address of a killed process is free a little later.
    private static async Task<(Worker Receiver, string Endpoint)> ListenAsync(string endpoint)
    {
        for (int i = 0; ; i++)
        {
            Worker receiver = Worker.Start("receiver", endpoint);
            string line = await receiver.WaitForAsync("listening", "exited");
            if (line.StartsWith("listening", StringComparison.Ordinal)) return (receiver, line["listening ".Length..]);
            receiver.Kill();
            if (i == 20) throw new InvalidOperationException($"No receiver can listen on {endpoint}: {string.Join(" | ", receiver.Lines)}");
            await Task.Delay(100);
        }
    }

    /// <summary>A process of this program in a role.</summary>
    private sealed class Worker
    {
        private readonly Process _process;
        private readonly ConcurrentQueue<string> _lines = new();
        private readonly ConcurrentQueue<string> _unread = new();

        private Worker(Process process) => _process = process;

        internal IReadOnlyCollection<string> Lines => _lines;

        internal static Worker Start(string role, string endpoint)
        {
            var start = new ProcessStartInfo("dotnet") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
            foreach (string argument in new[] { typeof(KillDriver).Assembly.Location, "--role", role, "--endpoint", endpoint }) start.ArgumentList.Add(argument);
            var process = new Process { StartInfo = start };
            var worker = new Worker(process);
            process.OutputDataReceived += (_, e) => worker.Hear(e.Data);
            process.ErrorDataReceived += (_, e) => worker.Hear(e.Data is null ? null : $"error {e.Data}");
            process.Start();
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            return worker;
        }

        internal void Ask() => _process.StandardInput.WriteLine();

        /// <summary>Drops what was said so far.</summary>
        internal void Forget() => _unread.Clear();

        internal async Task<string> WaitForAsync(params string[] starts)
        {
            long started = Stopwatch.GetTimestamp();
            while (Stopwatch.GetElapsedTime(started) < Patience)
            {
                while (_unread.TryDequeue(out string? line))
                {
                    if (starts.Any(s => line.StartsWith(s, StringComparison.Ordinal))) return line;
                }

                if (_process.HasExited && _unread.IsEmpty) return starts.Contains("exited") ? "exited" : throw new InvalidOperationException($"the process ended with {_process.ExitCode} instead of saying {string.Join(" or ", starts)}");
                await Task.Delay(2);
            }

            throw new TimeoutException($"nobody said {string.Join(" or ", starts)} within {Patience.TotalSeconds} s");
        }

        internal void Kill()
        {
            if (!_process.HasExited) _process.Kill();
            _process.WaitForExit();
            _process.Dispose();
        }

        private void Hear(string? line)
        {
            if (line is null) return;
            _lines.Enqueue(line);
            while (_lines.Count > 50) _lines.TryDequeue(out _);
            _unread.Enqueue(line);
        }
    }
}

using System.Diagnostics;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>tests/KvHandoff.TestPeer as a process of its own.</summary>
internal sealed class SharedMemoryPeerProcess : IDisposable
{
    private readonly Process _process;

    internal SharedMemoryPeerProcess(TransportEndpoint endpoint, string action)
    {
        ProcessStartInfo start = new("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "KvHandoff.TestPeer.dll"));
        start.ArgumentList.Add(endpoint.ToString());
        start.ArgumentList.Add(action);
        _process = Process.Start(start)!;
    }

    internal int Id => _process.Id;

    internal async Task<string?> ReadLineAsync() => await _process.StandardOutput.ReadLineAsync().WaitAsync(Blocking.Limit);

    /// <summary>SIGKILL: the process gets no chance to say anything.</summary>
    internal void Kill() => _process.Kill();

    internal async Task<int> ExitCodeAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(Blocking.Limit);
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
    }
}

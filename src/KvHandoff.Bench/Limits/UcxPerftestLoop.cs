using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace KvHandoff.Bench.Limits;

/// <summary>
/// <c>ucx_perftest</c> over loopback with the transports that the handoff has (UCX_TLS of the environment, tcp without it): tag messages and puts of 1 and 8 MB, and of 256 MB, whose buffer is as
/// cold as a cache's. The best of them is the loop. Two processes, both of which poll without pause.
/// </summary>
internal sealed class UcxPerftestLoop : BareLoop
{
    internal const string Program = "ucx_perftest";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20), StartPause = TimeSpan.FromMilliseconds(300);

    private readonly string _test;
    private readonly long _messageBytes;

    private UcxPerftestLoop(string test, long messageBytes)
    {
        _test = test;
        _messageBytes = messageBytes;
    }

    internal override string Name => string.Create(CultureInfo.InvariantCulture, $"{Program} {_test}, {_messageBytes / 1e6:0} MB, the best of its modes");

    /// <summary>The best mode; null where the program is missing or gives nothing, with the reason.</summary>
    internal static async Task<(UcxPerftestLoop? Loop, string Report)> TryStartAsync(CancellationToken cancellationToken)
    {
        (string Test, long Bytes)[] modes = [("tag_bw", 1 << 20), ("tag_bw", 8 << 20), ("tag_bw", 256 << 20), ("ucp_put_bw", 1 << 20), ("ucp_put_bw", 8 << 20)];
        var found = new List<string>();
        (double Gbps, UcxPerftestLoop? Loop) best = (0, null);
        foreach ((string test, long bytes) in modes)
        {
            var loop = new UcxPerftestLoop(test, bytes);
            try
            {
                double gbps = await loop.MeasureAsync(SampleBytes / 2, cancellationToken);
                found.Add(string.Create(CultureInfo.InvariantCulture, $"{test} {bytes >> 20} MiB {gbps:0.00}"));
                if (gbps > best.Gbps) best = (gbps, loop);
            }
            catch (Win32Exception)
            {
                return (null, $"the program {Program} is not installed");
            }
            catch (Exception e) when (e is IOException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
            {
                found.Add($"{test} {bytes >> 20} MiB failed");
            }
        }

        return (best.Loop, string.Join(", ", found) + " GB/s");
    }

    internal override async Task<double> SecondsAsync(long bytes, CancellationToken cancellationToken) => bytes / (await MeasureAsync(bytes, cancellationToken) * 1e9);

    public override ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private async Task<double> MeasureAsync(long bytes, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Limit);
        string port = FreePort().ToString(CultureInfo.InvariantCulture), size = _messageBytes.ToString(CultureInfo.InvariantCulture);
        string count = Math.Max(2, bytes / _messageBytes).ToString(CultureInfo.InvariantCulture);
        string[] what = ["-p", port, "-t", _test, "-s", size, "-n", count, "-w", "1", "-f"];
        using Process server = Start(what);
        Process? client = null;
        try
        {
            // A probe of its port would be taken for the client.
            await Task.Delay(StartPause, limit.Token);
            client = Start(["127.0.0.1", .. what]);
            string text = await client.StandardOutput.ReadToEndAsync(limit.Token);
            return Read(text);
        }
        finally
        {
            if (client is { HasExited: false }) client.Kill();
            client?.Dispose();
            if (!server.HasExited) server.Kill();
            await server.WaitForExitAsync(CancellationToken.None);
        }
    }

    // The last line of numbers: iterations, three latencies, the bandwidth of the last interval and of all in MB/s, two message rates.
    private static double Read(string text)
    {
        foreach (string line in text.Split('\n').Reverse())
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
            if (words.Length >= 5 && double.TryParse(words[^3], NumberStyles.Float, CultureInfo.InvariantCulture, out double megabytes) && double.TryParse(words[^1], NumberStyles.Float, CultureInfo.InvariantCulture, out _) && megabytes > 0)
                return megabytes * (1 << 20) / 1e9;
        }

        throw new IOException($"{Program} printed no result");
    }

    private static Process Start(string[] arguments)
    {
        var start = new ProcessStartInfo(Program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        start.Environment.TryAdd("UCX_TLS", "tcp");
        return Process.Start(start)!;
    }

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}

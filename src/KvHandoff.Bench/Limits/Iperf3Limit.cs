using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;

namespace KvHandoff.Bench.Limits;

/// <summary>What <c>iperf3 -l 1M</c> gives over loopback with one stream, where that program is installed.</summary>
internal static class Iperf3Limit
{
    private const string Program = "iperf3";
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20), ListenPoll = TimeSpan.FromMilliseconds(20);

    /// <summary>Samples in GB/s as the receiver counts them, or none and why.</summary>
    internal static async Task<(double[] Samples, string? Absent)> MeasureAsync(int samples, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Limit);
        int port = FreePort();
        Process? server = null;
        try
        {
            server = Start("-s", "-B", "127.0.0.1", "-p", port.ToString(CultureInfo.InvariantCulture));
            await ListeningAsync(port, server, limit.Token);
            var result = new double[samples];
            for (int i = 0; i < samples; i++) result[i] = await SampleAsync(port, limit.Token);
            return (result, null);
        }
        catch (Win32Exception)
        {
            return ([], $"the program {Program} is not installed");
        }
        catch (Exception e) when (e is IOException or JsonException or KeyNotFoundException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return ([], $"{Program} failed: {e.Message.ReplaceLineEndings(" ")}");
        }
        finally
        {
            if (server is { HasExited: false }) server.Kill();
            server?.Dispose();
        }
    }

    private static async Task<double> SampleAsync(int port, CancellationToken cancellationToken)
    {
        using Process client = Start("-c", "127.0.0.1", "-p", port.ToString(CultureInfo.InvariantCulture), "-l", "1M", "-n", BareLoop.SampleBytes.ToString(CultureInfo.InvariantCulture), "-J");
        string text = await client.StandardOutput.ReadToEndAsync(cancellationToken);
        await client.WaitForExitAsync(cancellationToken);
        JsonElement root = JsonDocument.Parse(text).RootElement;
        if (root.TryGetProperty("error", out JsonElement error)) throw new IOException(error.GetString());
        return root.GetProperty("end").GetProperty("sum_received").GetProperty("bits_per_second").GetDouble() / 8e9;
    }

    // A connection that comes and goes would be taken for a test: the kernel's table of listeners is read instead.
    private static async Task ListeningAsync(int port, Process server, CancellationToken cancellationToken)
    {
        while (!System.Net.NetworkInformation.IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Any(l => l.Port == port))
        {
            if (server.HasExited) throw new IOException($"the server ended with exit code {server.ExitCode}");
            await Task.Delay(ListenPoll, cancellationToken);
        }
    }

    private static Process Start(params string[] arguments) =>
        Process.Start(new ProcessStartInfo(Program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false })!;

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}

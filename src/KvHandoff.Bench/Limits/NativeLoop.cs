using System.Diagnostics;
using System.Globalization;

namespace KvHandoff.Bench.Limits;

/// <summary>sendmsg and readv in C++, in two processes: native/benchmarks/transfer_loop, where it was built.</summary>
internal sealed class NativeLoop : BareLoop
{
    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, "transfer_loop");
    private static readonly TimeSpan ExitGrace = TimeSpan.FromSeconds(2);

    private readonly Process _receiver, _sender;
    private readonly string _transport;

    private NativeLoop(Process receiver, Process sender, string transport)
    {
        _receiver = receiver;
        _sender = sender;
        _transport = transport;
    }

    /// <summary>Why there is none, for reports.</summary>
    internal const string Missing = "native/benchmarks/transfer_loop was not built (it needs cmake and g++)";

    internal override string Name => $"sendmsg/readv loop in C++ over {_transport}";

    internal static bool IsAvailable(string transport) => transport is Workers.WorkerTransport.Tcp or Workers.WorkerTransport.Unix && File.Exists(Program);

    internal static async Task<NativeLoop> StartAsync(string transport, CancellationToken cancellationToken)
    {
        Process receiver = Start(transport);
        try
        {
            string endpoint = await receiver.StandardOutput.ReadLineAsync(cancellationToken) ?? throw new IOException($"{Program} ended before it listened.");
            return new NativeLoop(receiver, Start(transport, endpoint), transport);
        }
        catch
        {
            await EndAsync(receiver);
            throw;
        }
    }

    internal override async Task<double> SecondsAsync(long bytes, CancellationToken cancellationToken) => await NanosecondsAsync(bytes.ToString(CultureInfo.InvariantCulture), cancellationToken) / 1e9;

    internal override async Task<double?> CheckedSecondsAsync(long bytes, CancellationToken cancellationToken)
    {
        long nanoseconds = await NanosecondsAsync(string.Create(CultureInfo.InvariantCulture, $"checked {bytes}"), cancellationToken);
        return nanoseconds < 0 ? null : nanoseconds / 1e9;
    }

    private async Task<long> NanosecondsAsync(string request, CancellationToken cancellationToken)
    {
        await _sender.StandardInput.WriteLineAsync(request.AsMemory(), cancellationToken);
        await _sender.StandardInput.FlushAsync(cancellationToken);
        string line = await _sender.StandardOutput.ReadLineAsync(cancellationToken) ?? throw new IOException($"{Program} ended in mid-transfer.");
        return long.Parse(line, CultureInfo.InvariantCulture);
    }

    public override async ValueTask DisposeAsync()
    {
        await EndAsync(_sender);
        await EndAsync(_receiver);
    }

    private static Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo(Program, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, UseShellExecute = false };
        return Process.Start(start) ?? throw new IOException($"{Program} did not start.");
    }

    private static async Task EndAsync(Process process)
    {
        try
        {
            process.StandardInput.Close();
            using var grace = new CancellationTokenSource(ExitGrace);
            await process.WaitForExitAsync(grace.Token);
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            process.Kill();
        }

        process.Dispose();
    }
}

using System.Runtime.InteropServices;
using System.Threading.Channels;
using KvHandoff.Bench.Limits;
using KvHandoff.Session;

namespace KvHandoff.Bench.Workers;

/// <summary>A worker process's main loop: reads requests, writes answers, ends with its input.</summary>
internal static class WorkerHost
{
    private static readonly TimeSpan EndGrace = TimeSpan.FromSeconds(1);

    /// <summary>The roles a worker can be started in.</summary>
    internal static IReadOnlyList<string> Roles { get; } = ["prefill", "decode", "sink"];

    internal static async Task<int> RunAsync(string role)
    {
        // Ctrl-C reaches the whole process group; the program decides, and closes this process's input.
        using PosixSignalRegistration ignore = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => context.Cancel = true);
        using Stream output = Console.OpenStandardOutput();
        await using var writer = new StreamWriter(output) { AutoFlush = true };
        void Reply(WorkerMessage message) => writer.WriteLine(message.ToLine());

        await using var prefill = new PrefillWorker(Reply);
        await using var decode = new DecodeWorker(Reply);
        await foreach (string line in ReadRequests().ReadAllAsync())
        {
            try
            {
                WorkerMessage request = WorkerMessage.FromLine(line);
                switch (role)
                {
                    case "prefill": await prefill.HandleAsync(request); break;
                    case "decode": await decode.HandleAsync(request); break;
                    default: ManagedLoop.Receive((SinkRequest)request, Reply); break;
                }
            }
            catch (Exception e)
            {
                Reply(new FailedReply(e is HandoffException handoff ? handoff.Failure.ToString() : e.GetType().Name, e.Message));
            }
        }

        return 0;
    }

    // On a thread of its own: when the program is gone this process has to end, whatever a request is doing.
    private static ChannelReader<string> ReadRequests()
    {
        Channel<string> lines = Channel.CreateUnbounded<string>();
        var reading = new Thread(() =>
        {
            using var reader = new StreamReader(Console.OpenStandardInput());
            while (reader.ReadLine() is { } line) lines.Writer.TryWrite(line);
            lines.Writer.Complete();
            Thread.Sleep(EndGrace);
            Environment.Exit(0);
        })
        { IsBackground = true, Name = "requests" };
        reading.Start();
        return lines.Reader;
    }
}

using System.Diagnostics;
using KvHandoff.Transport;

namespace KvHandoff.Core.Tests.Transport;

/// <summary>Counts what the whole process has, so nothing else runs beside it.</summary>
[CollectionDefinition(nameof(UcxLeftoverTests), DisableParallelization = true)]
[Collection(nameof(UcxLeftoverTests))]
public sealed class UcxLeftoverTests
{
    private static readonly ITransport Transport = UcxTransport.Instance;

    [UcxFact]
    public async Task Nothing_stays_of_a_hundred_connections()
    {
        await OpenAndCloseAsync(10);
        await EndAsync(() => UcxWorker.Count == 0);
        int workers = UcxWorker.Count, threads = ThreadCount(), descriptors = DescriptorCount();
        await OpenAndCloseAsync(100);
        await EndAsync(() => UcxWorker.Count <= workers && DescriptorCount() <= descriptors + 20);
        Assert.InRange(UcxWorker.Count, 0, workers);
        // Workers have many descriptors each; pools of the runtime may grow by a few.
        Assert.InRange(ThreadCount(), 1, threads + 10);
        Assert.InRange(DescriptorCount(), 1, descriptors + 20);
    }

    private static async Task OpenAndCloseAsync(int count)
    {
        await using (ITransportListener listener = await Transport.ListenAsync(UcxRows.Anywhere, UcxRows.Over(UcxRows.Tcp), default))
        {
            for (int i = 0; i < count; i++)
            {
                Task<IConnection> connecting = Transport.ConnectAsync(listener.Endpoint, UcxRows.Over(UcxRows.Tcp), default);
                IConnection server = (await listener.AcceptAsync(default))!, client = await connecting;
                Assert.True(client.Send(new byte[10]).IsOk);
                if (i % 3 == 0) client.Abort();
                client.Dispose();
                server.Dispose();
            }
        }
    }

    private static async Task EndAsync(Func<bool> isOver)
    {
        for (long started = Stopwatch.GetTimestamp(); !isOver() && Stopwatch.GetElapsedTime(started) < Blocking.Limit;) await Task.Delay(20);
    }

    private static int ThreadCount() => Directory.GetDirectories("/proc/self/task").Length;

    private static int DescriptorCount() => Directory.GetFiles("/proc/self/fd").Length;
}

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

    [UcxFact]
    public async Task Connects_that_are_given_up_halfway_harm_nobody()
    {
        // UCX 1.13 ends the process when an endpoint is closed that has not connected yet.
        await using (ITransportListener listener = await Transport.ListenAsync(UcxRows.Anywhere, UcxRows.Over(UcxRows.Tcp), default))
        {
            var random = new Random(9);
            int cancelled = 0;
            for (int i = 0; i < 60; i++)
            {
                using var limit = new CancellationTokenSource(TimeSpan.FromMilliseconds(random.NextDouble() * 12));
                try
                {
                    using IConnection client = await Transport.ConnectAsync(listener.Endpoint, UcxRows.Over(UcxRows.Tcp), limit.Token);
                }
                catch (OperationCanceledException)
                {
                    cancelled++;
                }
            }

            Assert.InRange(cancelled, 1, 60);
            using IConnection last = await Transport.ConnectAsync(listener.Endpoint, UcxRows.Over(UcxRows.Tcp), default).WaitAsync(Blocking.Limit);
            Assert.True(last.Send(new byte[10]).IsOk);
        }

        await EndAsync(() => UcxWorker.Count == 0);
        Assert.Equal(0, UcxWorker.Count);
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

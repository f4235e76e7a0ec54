using System.Collections.Concurrent;
using System.Text;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Discovery;
using KvHandoff.Gateway.Routing;
using KvHandoff.Gateway.Tests.Hosting;
using KvHandoff.Gateway.Tests.Routing;
using KvHandoff.Gateway.Tests.Workers;
using KvHandoff.Gateway.Workers;
using KvHandoff.Model;
using Xunit.Abstractions;

namespace KvHandoff.Gateway.Tests.Discovery;

/// <summary>Against a real etcd; left out, with the reason said, where there is none.</summary>
public sealed class EtcdDirectoryTests(ITestOutputHelper output)
{
    private const string Prefix = "/test/workers/";

    [Fact]
    public async Task Workers_come_and_go_with_their_leases()
    {
        if (await EtcdAsync() is not { } etcd) return;
        await using EtcdServer disposal = etcd;
        using var client = new EtcdClient([etcd.Address]);
        await client.PutAsync(Prefix + "early", new WorkerEntry("early", "unix:///early").Encode(), await client.GrantAsync(TimeSpan.FromSeconds(60), default), default);
        await client.PutAsync(Prefix + "garbage", Encoding.UTF8.GetBytes("{\"name\":7}"), await client.GrantAsync(TimeSpan.FromSeconds(60), default), default);
        await using var pool = new WorkerPool(new PrefixMemory(10), TimeSpan.FromMilliseconds(50), TimeSpan.FromSeconds(5));
        var notes = new ConcurrentQueue<string>();
        await using var directory = new EtcdDirectory(new EtcdClient([etcd.Address]), Prefix, (name, _) => new ScriptedWorker(name, Phase.Decode), notes.Enqueue);
        await directory.StartAsync(pool, default);
        await UntilAsync(pool, "early");
        Assert.Contains(notes, n => n.Contains("garbage", StringComparison.Ordinal));

        // Kept alive for longer than the lease, and gone at once when it says goodbye.
        var late = new WorkerRegistration(new EtcdClient([etcd.Address]), Prefix, new WorkerEntry("late", "unix:///late"), TimeSpan.FromSeconds(2), notes.Enqueue);
        await UntilAsync(pool, "early", "late");
        await Task.Delay(TimeSpan.FromSeconds(4));
        Assert.Equal(["early", "late"], pool.Seats.Select(s => s.Name));
        await late.DisposeAsync();
        await UntilAsync(pool, "early");

        // Nobody keeps this one alive: the watch hears of its end.
        await client.PutAsync(Prefix + "mortal", new WorkerEntry("mortal", "unix:///mortal").Encode(), await client.GrantAsync(TimeSpan.FromSeconds(1), default), default);
        await UntilAsync(pool, "early", "mortal");
        await UntilAsync(pool, "early");
    }

    [Fact]
    public async Task Whoever_loses_a_lease_takes_another_and_whoever_finds_no_etcd_goes_on_trying()
    {
        if (await EtcdAsync() is not { } etcd) return;
        await using EtcdServer disposal = etcd;
        using var client = new EtcdClient([new Uri("http://127.0.0.1:1/"), etcd.Address]);
        // The first endpoint is dead: the second one is taken.
        await Assert.ThrowsAsync<EtcdException>(() => client.RangeAsync(Prefix, default));
        var notes = new ConcurrentQueue<string>();
        await using var registration = new WorkerRegistration(new EtcdClient([new Uri("http://127.0.0.1:1/"), etcd.Address]), Prefix, new WorkerEntry("w", "unix:///w"), TimeSpan.FromSeconds(1), notes.Enqueue);
        await KeyAsync(client, present: true);
        Assert.NotEmpty(notes);
        (_, Dictionary<string, byte[]> values) = await client.RangeAsync(Prefix, default);
        Assert.Equal(new WorkerEntry("w", "unix:///w"), WorkerEntry.Decode(values[Prefix + "w"]));
        long stranger = await client.GrantAsync(TimeSpan.FromSeconds(60), default);
        Assert.True(await client.KeepAliveAsync(stranger, default));
        await client.RevokeAsync(stranger, default);
        Assert.False(await client.KeepAliveAsync(stranger, default));
    }

    [Fact]
    public async Task Real_workers_register_themselves_serve_and_vanish_when_they_are_killed()
    {
        if (await EtcdAsync() is not { } etcd) return;
        await using EtcdServer disposal = etcd;
        string folder = Directory.CreateTempSubdirectory("kvhandoff-").FullName, address = "etcd+" + etcd.Address.ToString().TrimEnd('/');
        (string, string) key = ("KVHANDOFF_TICKET_KEY", Convert.ToHexStringLower(WorkerKey.Create()));
        await using GatewayProgram prefill = GatewayProgram.Start(["--role", "prefill", "--name", "p", "--control", $"unix://{folder}/p", "--directory", address, "--lease", "2", "--threads", "1"], key);
        await using GatewayProgram decode = GatewayProgram.Start(["--role", "decode", "--name", "d", "--control", $"unix://{folder}/d", "--handoff", "unix", "--directory", address, "--lease", "2", "--threads", "1"], key);
        await using GatewayProgram gateway = await GatewayProgram.ServeAsync(["--role", "gateway", "--directory", address, "--worker-wait", "1"], key);
        await gateway.IdleAsync(2);
        using var reference = new ReferenceText();
        int[] prompt = ReferenceText.Prompt("short-short");
        StreamedText text = await GatewayFixture.StreamAsync(gateway.Http, prompt, 24);
        Assert.Equal((ByteTokenizer.Decode(reference.Complete(prompt, 24)), "disaggregated"), (text.Text, text.Route));
        GatewayProgram.Signal(decode.Id, "KILL");
        await gateway.WaitAsync(() => gateway.Errors.Contains("worker d has left", StringComparison.Ordinal) ? "" : null, "the dead worker left the directory");
        StreamedText refused = await GatewayFixture.StreamAsync(gateway.Http, prompt, 24);
        Assert.Contains("no_worker_available", refused.Error, StringComparison.Ordinal);
        Directory.Delete(folder, recursive: true);
    }

    private static async Task UntilAsync(WorkerPool pool, params string[] names)
    {
        for (int i = 0; !pool.Seats.Select(s => s.Name).SequenceEqual(names); i++)
        {
            Assert.True(i < 1000, $"The pool has {string.Join(", ", pool.Seats.Select(s => s.Name))}; expected {string.Join(", ", names)}.");
            await Task.Delay(20);
        }
    }

    private static async Task KeyAsync(EtcdClient client, bool present)
    {
        for (int i = 0; (await client.RangeAsync(Prefix, default)).Values.ContainsKey(Prefix + "w") != present; i++)
        {
            Assert.True(i < 500, "The worker never came into the directory.");
            await Task.Delay(20);
        }
    }

    private async Task<EtcdServer?> EtcdAsync()
    {
        (EtcdServer? server, string reason) = await EtcdServer.StartAsync();
        if (server is null) output.WriteLine($"Left out: etcd cannot be started: {reason}");
        return server;
    }
}

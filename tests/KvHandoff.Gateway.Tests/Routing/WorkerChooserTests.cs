using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Tests.Routing;

public sealed class WorkerChooserTests : IAsyncDisposable
{
    private static readonly HashSet<string> None = [];

    private readonly PrefixMemory _prefixes = new(1000);
    private readonly WorkerPool _pool;

    public WorkerChooserTests() => _pool = new WorkerPool(_prefixes, TimeSpan.FromMinutes(1), TimeSpan.FromSeconds(5));

    [Fact]
    public async Task Decode_goes_where_there_is_room_before_where_there_is_less_to_do()
    {
        await AddAsync(Prefill("p"), Decode("full", free: 100, running: 0), Decode("roomy", free: 5000, running: 7));
        Assert.Equal("roomy", Choose(Request(200, 100)).Decode.Name);
    }

    [Fact]
    public async Task Decode_goes_where_fewer_sequences_are_and_a_held_prefix_outweighs_less_than_one()
    {
        await AddAsync(Prefill("p"), Decode("d0", running: 3), Decode("d1", running: 2));
        GatewayRequest request = Request(256, 10);
        Assert.Equal("d1", Choose(request).Decode.Name);
        _prefixes.Remember(PrefixMemory.Chain("scripted", "revision-one", request.Prompt), "d0");
        Assert.Equal("d1", Choose(request with { Prompt = [.. request.Prompt[..200], .. new int[200]] }).Decode.Name);
        await AddAsync(Decode("d2", running: 2));
        _prefixes.Remember(PrefixMemory.Chain("scripted", "revision-one", request.Prompt), "d2");
        Assert.Equal("d2", Choose(request).Decode.Name);
    }

    [Fact]
    public async Task Prefill_goes_where_the_least_is_to_be_computed()
    {
        await AddAsync(Prefill("p0"), Prefill("p1"), Decode("d"));
        GatewayRequest request = Request(640, 10);
        using (Seat("p0").Enter(300, 300))
        {
            Assert.Equal("p1", Choose(request).Prefill!.Name);
            _prefixes.Remember(PrefixMemory.Chain("scripted", "revision-one", request.Prompt), "p0");
            Assert.Equal("p0", Choose(request).Prefill!.Name);
        }

        Assert.Equal(0, Seat("p0").PromptTokensUnderWay);
    }

    [Fact]
    public async Task What_was_sent_since_the_last_status_counts()
    {
        await AddAsync(Prefill("p"), Decode("d0"), Decode("d1"));
        using IDisposable stay = Seat("d0").Enter(0, 100);
        Assert.Equal("d1", Choose(Request(10, 10)).Decode.Name);
    }

    [Fact]
    public async Task Workers_of_other_weights_never_share_a_request()
    {
        ScriptedWorker prefill = Prefill("p"), other = Decode("other"), same = Decode("same", running: 50);
        other.Status = other.Status with { ModelRevision = "revision-two" };
        await AddAsync(prefill, other, same);
        Assert.Equal("same", Choose(Request(10, 10)).Decode.Name);
        Assert.Null(new WorkerChooser(_pool, _prefixes).Choose(Request(10, 10), None, new HashSet<string> { "same" }));
    }

    [Fact]
    public async Task A_worker_that_failed_the_request_is_the_last_choice_and_one_it_cannot_fit_is_none()
    {
        await AddAsync(Prefill("p"), Decode("d0"), Decode("d1", free: 0, running: 99));
        var chooser = new WorkerChooser(_pool, _prefixes);
        Assert.Equal("d1", chooser.Choose(Request(10, 10), new HashSet<string> { "d0" }, None)!.Decode.Name);
        Assert.Equal("d0", chooser.Choose(Request(10, 10), new HashSet<string> { "d0" }, new HashSet<string> { "d1" })!.Decode.Name);
        Assert.Null(chooser.Choose(Request(10, 10), None, new HashSet<string> { "d0", "d1" }));
    }

    [Fact]
    public async Task A_worker_whose_whole_cache_is_too_small_is_never_chosen()
    {
        ScriptedWorker small = Decode("small"), large = Decode("large", running: 30);
        small.Status = small.Status with { CacheTokens = 299 };
        await AddAsync(Prefill("p"), small, large);
        Assert.Equal("large", Choose(Request(200, 100)).Decode.Name);
        Assert.Equal("small", Choose(Request(200, 99)).Decode.Name);
    }

    [Fact]
    public async Task Decode_workers_learn_of_each_other()
    {
        var pool = new WorkerPool(_prefixes, TimeSpan.FromMilliseconds(20), TimeSpan.FromSeconds(5));
        ScriptedWorker first = Decode("d0"), second = Decode("d1"), prefill = Prefill("p");
        foreach (ScriptedWorker worker in (ScriptedWorker[])[first, second, prefill]) pool.Add(worker, "unix:///" + worker.Name);
        for (int i = 0; first.Peers is not { Count: 1 } || second.Peers is not { Count: 1 }; i++)
        {
            Assert.True(i < 500, "The peers were never told.");
            await Task.Delay(10);
        }

        Assert.Equal(new WorkerPeer("d1", "unix:///d1"), first.Peers!.Single());
        Assert.Null(prefill.Peers);
        pool.Remove("d1");
        for (int i = 0; first.Peers!.Count > 0; i++)
        {
            Assert.True(i < 500, "The peer that left was never taken back.");
            await Task.Delay(10);
        }

        await pool.DisposeAsync();
    }

    public ValueTask DisposeAsync() => _pool.DisposeAsync();

    private static ScriptedWorker Prefill(string name) => new(name, Phase.Prefill);

    private static ScriptedWorker Decode(string name, long free = 100_000, int running = 0)
    {
        var worker = new ScriptedWorker(name, Phase.Decode);
        worker.Status = worker.Status with { FreeTokens = free, Running = running };
        return worker;
    }

    private static GatewayRequest Request(int prompt, int maxTokens) => new() { RequestId = "r", Prompt = [.. Enumerable.Range(0, prompt).Select(i => i % 251)], MaxTokens = maxTokens, Sampling = new SamplingOptions() };

    private WorkerSeat Seat(string name) => _pool.Seats.Single(s => s.Name == name);

    private WorkerChoice Choose(GatewayRequest request) => new WorkerChooser(_pool, _prefixes).Choose(request, None, None)!;

    private async Task AddAsync(params ScriptedWorker[] workers)
    {
        foreach (ScriptedWorker worker in workers) _pool.Add(worker, "unix:///" + worker.Name);
        while (_pool.Seats.Any(s => !s.IsUp)) await Task.Delay(5);
    }
}

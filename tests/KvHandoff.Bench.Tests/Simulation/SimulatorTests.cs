using KvHandoff.Bench.Catalogue;
using KvHandoff.Bench.CostModel;
using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Tests.Simulation;

/// <summary>What must hold of every run, whatever its settings.</summary>
public sealed class SimulatorTests
{
    private static SimulationSettings Busy => new() { Deployment = Clusters.Llama("400G"), PrefillNodes = 6, DecodeNodes = 3, PrefixCacheTokens = 4_000_000, Seed = 5 };

    private static WorkloadRequest[] Work(int count, double rate, ulong seed = 2) => Workload.Make(Traces.Conversation, count, ArrivalKind.Poisson, rate, 1, false, new SimulationRandom(seed));

    [Theory]
    [InlineData(1, 100, 1)]
    [InlineData(1, 3100, 110)]
    [InlineData(80, 3100, 110)]
    [InlineData(80, 3100, 1700)]
    [InlineData(80, 8000, 500)]
    [InlineData(10, 3100, 110)]
    [InlineData(null, 32_768, 1000)]
    public void Without_contention_the_simulation_says_what_the_plan_says(int? units, int prompt, int output)
    {
        foreach (string link in new[] { "10G", "100G", "400G", "3.2T", "efa-3.2T" })
        {
            foreach (string codec in new[] { "raw", "ew3", "fp8" })
            {
                foreach (string decode in new[] { "cs3-8", "h200-8" })
                {
                    Deployment deployment = Clusters.Llama(link) with { Units = units, Codec = Clusters.Catalogue.Codecs[codec], CodecCores = 4, Decode = Clusters.Catalogue.Nodes[decode] };
                    SimulationResult result = Simulator.Run(new SimulationSettings { Deployment = deployment, ChunkTokens = 1 << 20 }, [new WorkloadRequest(1, prompt, output, [])]);
                    SimulatedRequest request = Assert.Single(result.Done);
                    PipelinedTransfer plan = deployment.Transfer(prompt);
                    Assert.InRange((request.PrefillEnd - request.PrefillStart) / plan.PrefillSeconds, 0.999, 1.001);
                    Assert.InRange((request.FirstToken - request.Arrival) / plan.FinishSeconds, 0.99, 1.01);
                    Assert.InRange((request.Committed - request.PrefillEnd) / plan.ExposedSeconds, 0.99, 1.01);
                    double answer = plan.FinishSeconds + output * deployment.TokenSeconds(prompt, output);
                    Assert.InRange((request.Finished - request.Arrival) / answer, 0.99, 1.01);
                }
            }
        }
    }

    [Theory]
    [InlineData(0, 16)]
    [InlineData(50, 0)]
    [InlineData(200, 64)]
    public void Message_rates_and_stalls_are_the_plans_too(int stallMicroseconds, int messageKibibytes)
    {
        Deployment deployment = Clusters.Llama("efa-3.2T") with { StallSeconds = stallMicroseconds / 1e6, MessageBytes = messageKibibytes == 0 ? double.PositiveInfinity : messageKibibytes * 1024 };
        SimulatedRequest request = Assert.Single(Simulator.Run(new SimulationSettings { Deployment = deployment }, [new WorkloadRequest(0, 3100, 10, [])]).Done);
        Assert.InRange(request.FirstToken / deployment.Transfer(3100).FinishSeconds, 0.99, 1.01);
    }

    [Fact]
    public void A_plan_in_chunks_is_the_simulations_too()
    {
        Deployment deployment = Clusters.Llama("3.2T");
        SimulationResult result = Simulator.Run(new SimulationSettings { Deployment = deployment, ChunkTokens = 4096 }, [new WorkloadRequest(0, 32_768, 10, [])]);
        SimulatedRequest request = Assert.Single(result.Done);
        Assert.InRange((request.PrefillEnd - request.PrefillStart) / deployment.PrefillSeconds(32_768), 0.99, 1.01);
        // Eight chunks of 80 layers: the last unit is an eighth of a layer.
        PipelinedTransfer plan = deployment.Transfer(32_768, deployment.Link, 640);
        Assert.InRange((request.FirstToken - request.Arrival) / plan.FinishSeconds, 0.99, 1.01);
    }

    [Fact]
    public void Requests_and_bytes_are_conserved_also_with_failures()
    {
        SimulationSettings settings = Busy with { FailureSeconds = 60, RepairSeconds = 10, MostRestarts = 2 };
        WorkloadRequest[] work = Work(8000, 12);
        SimulationResult result = Simulator.Run(settings, work);
        Assert.True(result.Failures > 10 && result.Restarts > 10, $"{result.Failures} failures, {result.Restarts} restarts: too few to test anything");
        Assert.True(result.AbortedBytes > 0);
        Conserved(result, work.Length);
        Assert.Equal(0, result.InFlight);

        // Stopped on the way, some are still there.
        SimulationResult stopped = Simulator.Run(settings with { StopSeconds = work[4000].ArrivalSeconds }, work);
        Conserved(stopped, work.Length);
        Assert.True(stopped.InFlight > 0 && stopped.NotArrived > 0);
    }

    [Fact]
    public void Bytes_that_are_committed_are_the_bytes_of_the_prompts()
    {
        WorkloadRequest[] work = Work(4000, 10);
        SimulationResult all = Simulator.Run(Busy, work), rest = Simulator.Run(Busy with { DecodeHoldsPrefix = true }, work);
        double bytes = work.Sum(w => w.PromptTokens * 327_680.0);
        Assert.InRange(all.CommittedBytes / bytes, 1 - 1e-9, 1 + 1e-9);
        Assert.Equal(all.CommittedBytes, all.SentBytes, bytes * 1e-9);
        // What the decode side has already does not travel.
        Assert.InRange(rest.CommittedBytes / (bytes * (1 - rest.CachedTokens / rest.PromptTokens)), 1 - 1e-9, 1 + 1e-9);
        Assert.True(rest.CachedTokens > 0.05 * rest.PromptTokens);
        Assert.InRange(all.DecodedTokens / work.Sum(w => (double)w.OutputTokens), 1 - 1e-6, 1 + 1e-6);
    }

    [Fact]
    public void Littles_law_holds()
    {
        SimulationResult result = Simulator.Run(Busy, Work(8000, 12));
        double sojourns = result.Requests.Where(r => r.State is RequestState.Completed or RequestState.Failed).Sum(r => r.Finished - r.Arrival);
        Assert.InRange(result.InSystemSeconds / sojourns, 1 - 1e-9, 1 + 1e-9);
        // Of memory too: bytes in use are what each request holds for as long as it holds it.
        double held = result.Done.Sum(r => r.Reserved * (r.Finished - r.Granted));
        Assert.InRange(result.ReservedByteSeconds / held, 1 - 1e-6, 1 + 1e-6);
    }

    [Fact]
    public void The_same_seed_gives_the_same_run_and_another_seed_another()
    {
        SimulationSettings settings = Busy with { FailureSeconds = 500, RepairSeconds = 20 };
        double[] Times(ulong seed) => [.. Simulator.Run(settings with { Seed = seed }, Work(4000, 12)).Requests.Select(r => r.Finished)];
        Assert.Equal(Times(5), Times(5));
        Assert.NotEqual(Times(5), Times(6));
    }

    [Fact]
    public void More_bandwidth_is_never_slower()
    {
        double before = double.PositiveInfinity, beforeFirst = double.PositiveInfinity;
        foreach (string link in new[] { "25G", "50G", "100G", "200G", "400G", "800G", "3.2T" })
        {
            SimulationResult result = Simulator.Run(Busy with { Deployment = Clusters.Llama(link) }, Work(2000, 6));
            double mean = result.Done.Average(r => r.Finished - r.Arrival), first = result.Done.Average(r => r.FirstToken - r.Arrival);
            Assert.True(mean <= before * 1.0001 && first <= beforeFirst * 1.0001, $"{link}: {mean} s after {before} s");
            (before, beforeFirst) = (mean, first);
        }
    }

    [Fact]
    public void More_prefill_nodes_are_never_slower_and_stop_helping_at_P_sat()
    {
        Deployment deployment = Clusters.Llama("400G") with { Decode = Clusters.Catalogue.Nodes["cs3-4"] };
        Saturation plan = deployment.Saturation(3100, 110, deployment.Link);
        double Rate(int nodes)
        {
            var settings = new SimulationSettings { Deployment = deployment, PrefillNodes = nodes, Credits = 8 };
            return Simulator.Run(settings, Workload.Make(Workload.Alike(3100, 110), 6000, ArrivalKind.Poisson, 3 * plan.Ceiling, 1, true, new SimulationRandom(8))).CompletedPerSecond;
        }

        Assert.Equal(LimitingResource.Link, plan.CeilingResource);
        Assert.InRange(plan.PrefillNodes, 1, 2);
        Assert.InRange(Rate(1) / plan.Throughput(1), 0.95, 1.03);
        Assert.InRange(Rate(3) / plan.Throughput(3), 0.95, 1.03);
        Assert.InRange(Rate(6) / Rate(3), 0.98, 1.02);
    }

    /// <summary>Clusters put together at random, with everything that can be set: each comes to its end, conserves, and does the same again.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public void Any_cluster_comes_to_its_end(int seed)
    {
        var random = new SimulationRandom((ulong)seed);
        T One<T>(params T[] of) => of[random.Next(of.Length)];
        for (int i = 0; i < 30; i++)
        {
            Deployment deployment = Clusters.Llama(One("10G", "100G", "400G", "1.2T", "efa-3.2T")) with
            {
                Codec = Clusters.Catalogue.Codecs[One("raw", "ew3", "fp8", "lz4")],
                CodecCores = One(1, 4, 64),
                Units = One<int?>(null, 1, 2, 7, 80, 500),
                StallSeconds = One(0, 1e-4),
                CachedShare = One(0, 0, 0.5),
                MessageBytes = One(double.PositiveInfinity, 65_536),
                Decode = Clusters.Catalogue.Nodes[One("cs3-4", "cs3-8", "h100-8")],
                WeightPrecision = Precision.Bf16,
            };
            var settings = new SimulationSettings
            {
                Deployment = deployment,
                PrefillNodes = One(1, 2, 5, 9),
                DecodeNodes = One(1, 2, 4),
                FabricBytesPerSecond = One(double.PositiveInfinity, 1e10, 1e11),
                Sharing = One(LinkSharing.Fair, LinkSharing.Fifo),
                IsPrefillInstant = One(false, false, false, true),
                IsDecodeInstant = One(false, false, false, true),
                ChunkTokens = One(100, 2048, 8192, 1 << 20),
                MaxPromptsPerIteration = One(1, 64),
                MaxBatch = One(1, 3, 1000),
                Credits = One(1, 4, 1000),
                PrefixCacheTokens = One(0L, 100_000L, long.MaxValue),
                DecodeHoldsPrefix = One(false, true),
                FailureSeconds = One(double.PositiveInfinity, 50, 5000),
                RepairSeconds = One(1.0, 30),
                MostRestarts = One(0, 3),
                Seed = (ulong)i,
            };
            WorkloadRequest[] work = Workload.Make(Traces.Conversation, 250, One(ArrivalKind.Poisson, ArrivalKind.Gamma, ArrivalKind.Trace), One(0.2, 3, 50), 3, false, new SimulationRandom((ulong)i));
            SimulationResult result = Simulator.Run(settings, work), again = Simulator.Run(settings, work);
            Conserved(result, work.Length);
            Assert.Equal(0, result.InFlight);
            Assert.Equal(0, result.NotArrived);
            Assert.InRange(result.SentBytes / (result.CommittedBytes + result.AbortedBytes + 1), 1 - 1e-9, 1 + 1e-9);
            Assert.InRange(result.Utilisation.Link, 0, 1 + 1e-6);
            Assert.InRange(result.Utilisation.Fabric, 0, 1 + 1e-6);
            Assert.InRange(result.Utilisation.Memory, 0, 1 + 1e-6);
            Assert.InRange(result.Utilisation.Prefill, 0, 1 + 1e-6);
            Assert.InRange(result.Utilisation.Codec, 0, 1 + 1e-6);
            Assert.Equal(result.Requests.Select(r => (r.State, r.Finished)), again.Requests.Select(r => (r.State, r.Finished)));
        }
    }

    [Fact]
    public void What_never_fits_is_rejected_and_what_does_not_fit_now_waits()
    {
        Deployment deployment = Clusters.Llama("3.2T") with { Decode = Clusters.Catalogue.Nodes["cs3-4"] };
        WorkloadRequest[] work = [new(0, 200_000, 10, []), .. Enumerable.Range(0, 40).Select(i => new WorkloadRequest(0.001 * i, 30_000, 2000, []))];
        SimulationResult result = Simulator.Run(new SimulationSettings { Deployment = deployment, PrefillNodes = 8 }, [.. work.OrderBy(w => w.ArrivalSeconds)]);
        Assert.Equal((40, 1), (result.Completed, result.Rejected));
        Assert.Contains(result.Done, r => r.Granted - r.Offered > 1);
        // Never more than fits: three contexts at once.
        (double At, int Change)[] changes = [.. result.Done.SelectMany(r => new[] { (r.Granted, 1), (r.Finished, -1) }).OrderBy(c => c.Item1).ThenBy(c => c.Item2)];
        int now = 0;
        Assert.True(changes.Max(c => now += c.Change) == 3);
    }

    [Fact]
    public void Credits_bound_what_lands_at_once()
    {
        SimulationResult result = Simulator.Run(Busy with { Credits = 2, DecodeNodes = 1, Deployment = Clusters.Llama("100G") }, Work(500, 3));
        (double At, int Change)[] changes = [.. result.Done.SelectMany(r => new[] { (r.Granted, 1), (r.Committed, -1) }).OrderBy(c => c.Item1).ThenBy(c => c.Item2)];
        int now = 0;
        Assert.Equal(2, changes.Max(c => now += c.Change));
    }

    [Fact]
    public void A_hundred_thousand_requests_over_a_thousand_nodes_come_to_their_end()
    {
        var settings = new SimulationSettings { Deployment = Clusters.Llama("400G"), PrefillNodes = 700, DecodeNodes = 300, PrefixCacheTokens = 100_000_000 };
        SimulationResult result = Simulator.Run(settings, Work(100_000, 2000));
        Assert.Equal(100_000, result.Completed);
        Assert.InRange(result.Utilisation.Prefill, 0.1, 1);
        Conserved(result, 100_000);
    }

    private static void Conserved(SimulationResult result, int requests)
    {
        Assert.Equal(requests, result.Completed + result.Failed + result.Rejected + result.InFlight + result.NotArrived);
        double ended = result.Requests.Where(r => r.Flow != SimulatedRequest.Nowhere).Sum(r => r.Sent);
        Assert.InRange(result.SentBytes, result.CommittedBytes + result.AbortedBytes + ended - 1, double.MaxValue);
        Assert.All(result.Done, r => Assert.True(r.Arrival <= r.PrefillStart && r.PrefillStart <= r.PrefillEnd && r.PrefillEnd <= r.Committed && r.Granted <= r.Committed && r.Committed <= r.Finished));
    }
}

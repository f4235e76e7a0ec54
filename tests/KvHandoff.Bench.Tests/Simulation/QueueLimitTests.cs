using KvHandoff.Bench.CostModel;
using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Tests.Simulation;

/// <summary>The simulation where closed forms exist: one link, one prefill node.</summary>
public sealed class QueueLimitTests
{
    private const int Requests = 200_000;

    /// <summary>V7: sizes of the conversation trace, Poisson arrivals, one first-come-first-served link.</summary>
    [Theory]
    [InlineData(150, 0.715, 720)]
    [InlineData(200, 0.537, 249)]
    [InlineData(400, 0.268, 39.4)]
    [InlineData(1200, 0.0894, 3.52)]
    public void V7_one_link_waits_as_Pollaczek_and_Khinchine_say(double gigabits, double load, double waitMs)
    {
        SimulationSettings settings = Clusters.OneLink(gigabits);
        WorkloadRequest[] sizes = Traces.Conversation;
        double rate = sizes.Length / Workload.Span(sizes), bytes = KvSize.BytesPerToken(settings.Deployment.Model, 2), link = gigabits * 1e9 / 8;
        SimulationResult result = Simulator.Run(settings, Workload.Make(sizes, Requests, ArrivalKind.Poisson, rate, 1, true, new SimulationRandom(3)));
        double mean = sizes.Average(s => s.PromptTokens * bytes / link), second = sizes.Average(s => Math.Pow(s.PromptTokens * bytes / link, 2));
        Assert.InRange(Clusters.MeanLinkWait(result) / QueueWait.General(rate, mean, second), 0.94, 1.06);
        Assert.InRange(result.Utilisation.Link / (rate * mean), 0.98, 1.02);
        // Drawn requests have the published moments, but not to the last digit.
        double tolerance = Traces.IsReal ? 0.06 : 0.35;
        Assert.InRange(rate * mean, load * (1 - tolerance / 4), load * (1 + tolerance / 4));
        Assert.InRange(Clusters.MeanLinkWait(result) * 1e3, waitMs * (1 - tolerance), waitMs * (1 + tolerance));
    }

    /// <summary>The real, bursty arrivals of the conversation trace: 1,180 different times for 12,031 requests.</summary>
    [Theory]
    [InlineData(150, 1443)]
    [InlineData(200, 862)]
    [InlineData(400, 401)]
    [InlineData(1200, 133)]
    public void A_replay_with_the_traces_own_arrivals_waits_much_longer(double gigabits, double waitMs)
    {
        WorkloadRequest[] trace = Traces.Conversation;
        SimulationResult result = Simulator.Run(Clusters.OneLink(gigabits), Workload.Make(trace, trace.Length, ArrivalKind.Trace, null, 1, false, new SimulationRandom(1)));
        // Worked out beside the simulation: a line of one server.
        double clock = 0, waits = 0, bytes = 327_680;
        foreach (WorkloadRequest r in trace)
        {
            double start = Math.Max(r.ArrivalSeconds, clock);
            waits += start - r.ArrivalSeconds;
            clock = start + r.PromptTokens * bytes / (gigabits * 1e9 / 8);
        }

        Assert.InRange(Clusters.MeanLinkWait(result) / (waits / trace.Length), 0.9999, 1.0001);
        if (Traces.IsReal) Assert.Equal(waitMs, Clusters.MeanLinkWait(result) * 1e3, 1.0);
    }

    [Theory]
    [InlineData(0.5)]
    [InlineData(0.8)]
    public void A_link_with_equal_handoffs_is_an_M_D_1_queue(double load)
    {
        SimulationSettings settings = Clusters.OneLink(100);
        double service = KvSize.Bytes(settings.Deployment.Model, 4000, 2) / 12.5e9, rate = load / service;
        SimulationResult result = Simulator.Run(settings, Workload.Make(Workload.Alike(4000, 1), Requests, ArrivalKind.Poisson, rate, 1, true, new SimulationRandom(5)));
        Assert.InRange(Clusters.MeanLinkWait(result) / QueueWait.FixedService(rate, service), 0.96, 1.04);
    }

    [Theory]
    [InlineData(0.5)]
    [InlineData(0.8)]
    public void A_prefill_node_with_exponential_prompts_is_an_M_M_1_queue(double load)
    {
        const double MeanTokens = 20_000;
        var random = new SimulationRandom(9);
        WorkloadRequest[] sizes = [.. Enumerable.Range(0, 200_000).Select(i => new WorkloadRequest(i, Math.Max(1, (int)Math.Round(random.Exponential(MeanTokens))), 1, []))];
        Deployment deployment = Clusters.Llama("3.2T") with { Model = Clusters.LinearModel };
        // One prompt per iteration, however long.
        var settings = new SimulationSettings { Deployment = deployment, IsDecodeInstant = true, ChunkTokens = int.MaxValue };
        double service = sizes.Average(s => PrefillTime.Seconds(deployment.Model, deployment.Prefill, deployment.PrefillPrecision, s.PromptTokens)), rate = load / service;
        // Not batched: an iteration would take every prompt that waits, so a batch's budget is one prompt.
        SimulationResult result = Simulator.Run(settings with { ChunkTokens = 1 << 30, MaxPromptsPerIteration = 1 }, Workload.Make(sizes, 300_000, ArrivalKind.Poisson, rate, 1, true, new SimulationRandom(10)));
        double wait = result.Done.Average(r => r.PrefillStart - r.Arrival);
        Assert.InRange(wait / QueueWait.ExponentialService(rate, service), 0.95, 1.05);
        Assert.InRange(result.Utilisation.Prefill, load * 0.98, load * 1.02);
    }

    [Fact]
    public void Sharing_fairly_costs_the_same_link_time_and_favours_the_short()
    {
        WorkloadRequest[] work = Workload.Make(Traces.Conversation, 50_000, ArrivalKind.Poisson, 3.4, 1, true, new SimulationRandom(4));
        SimulationResult fifo = Simulator.Run(Clusters.OneLink(150), work), fair = Simulator.Run(Clusters.OneLink(150, LinkSharing.Fair), work);
        Assert.InRange(fair.Utilisation.Link / fifo.Utilisation.Link, 0.999, 1.001);
        double Median(SimulationResult r) => r.Done.Select(q => q.Finished - q.Arrival).Order().ElementAt(r.Completed / 2);
        Assert.True(Median(fair) < Median(fifo), $"{Median(fair)} against {Median(fifo)}");
        // Processor sharing: the mean time of a job of size x is x / (1 - rho), whatever the distribution.
        double load = fair.Utilisation.Link, expected = work.Average(w => w.PromptTokens) * 327_680 / (150e9 / 8) / (1 - load);
        Assert.InRange(fair.Done.Average(q => q.Finished - q.Arrival) / expected, 0.9, 1.1);
    }
}

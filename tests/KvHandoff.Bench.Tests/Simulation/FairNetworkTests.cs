using KvHandoff.Bench.Simulation;

namespace KvHandoff.Bench.Tests.Simulation;

/// <summary>Max-min fairness, against filling all flows evenly step by step from nothing.</summary>
public sealed class FairNetworkTests
{
    [Theory]
    [InlineData(1, 6, 4)]
    [InlineData(2, 20, 12)]
    [InlineData(3, 40, 8)]
    [InlineData(4, 5, 60)]
    [InlineData(5, 60, 60)]
    public void Rates_are_those_of_progressive_filling_after_every_change(int seed, int resources, int mostFlows)
    {
        var random = new SimulationRandom((ulong)seed);
        double[] capacities = [.. Enumerable.Range(0, resources).Select(_ => 1 + 99 * random.Next())];
        var network = new FairNetwork(capacities);
        var flows = new Dictionary<int, (int[] Way, double Cap)>();
        for (int step = 0; step < 600; step++)
        {
            double what = random.Next();
            if (flows.Count < mostFlows && (what < 0.5 || flows.Count == 0))
            {
                int[] way = [.. Enumerable.Range(0, resources).OrderBy(_ => random.Next()).Take(1 + random.Next(Math.Min(5, resources)))];
                double cap = random.Next() < 0.3 ? 1e12 : 60 * random.Next();
                flows.Add(network.Add(way, cap), (way, cap));
            }
            else if (what < 0.75)
            {
                int flow = flows.Keys.ElementAt(random.Next(flows.Count));
                network.Remove(flow);
                flows.Remove(flow);
            }
            else
            {
                int flow = flows.Keys.ElementAt(random.Next(flows.Count));
                double cap = 60 * random.Next();
                network.SetCap(flow, cap);
                flows[flow] = (flows[flow].Way, cap);
            }

            Dictionary<int, double> expected = Filled(capacities, flows);
            foreach ((int flow, double rate) in expected) Assert.InRange(network.Rate(flow), rate * (1 - 1e-6) - 1e-9, rate * (1 + 1e-6) + 1e-9);
        }
    }

    [Fact]
    public void Flows_far_away_are_not_touched()
    {
        var network = new FairNetwork([10, 10]);
        int near = network.Add([0], 100), far = network.Add([1], 100);
        Assert.Equal(10, network.Rate(far));
        network.Add([0], 100);
        Assert.Equal(5, network.Rate(near));
        Assert.DoesNotContain(far, network.Changed);
    }

    private static Dictionary<int, double> Filled(double[] capacities, Dictionary<int, (int[] Way, double Cap)> flows)
    {
        var rates = new Dictionary<int, double>();
        double[] free = [.. capacities];
        while (rates.Count < flows.Count)
        {
            KeyValuePair<int, (int[] Way, double Cap)>[] open = [.. flows.Where(f => !rates.ContainsKey(f.Key))];
            double[] shares = [.. free.Select((f, r) => open.Count(o => o.Value.Way.Contains(r)) is var n && n > 0 ? f / n : double.PositiveInfinity)];
            double level = Math.Min(shares.Min(), open.Min(o => o.Value.Cap));
            // Whoever is cut off at this level, by a resource or by itself.
            foreach ((int flow, (int[] way, double cap)) in open.Where(o => o.Value.Cap <= level * (1 + 1e-12) || o.Value.Way.Any(r => shares[r] <= level * (1 + 1e-12))).ToArray())
            {
                double rate = Math.Min(level, cap);
                rates.Add(flow, rate);
                foreach (int r in way) free[r] = Math.Max(0, free[r] - rate);
            }
        }

        return rates;
    }
}

namespace KvHandoff.Bench.CostModel;

/// <summary>Mean waits of queues with Poisson arrivals, in closed form: what the simulation is checked against, and what a planner may use without one.</summary>
internal static class QueueWait
{
    /// <summary>M/M/1: rho / (mu - lambda).</summary>
    internal static double ExponentialService(double arrivalsPerSecond, double serviceSeconds) => General(arrivalsPerSecond, serviceSeconds, 2 * serviceSeconds * serviceSeconds);

    /// <summary>M/D/1: lambda D^2 / (2 (1 - lambda D)).</summary>
    internal static double FixedService(double arrivalsPerSecond, double serviceSeconds) => General(arrivalsPerSecond, serviceSeconds, serviceSeconds * serviceSeconds);

    /// <summary>M/G/1 (Pollaczek and Khinchine): lambda E[s^2] / (2 (1 - rho)); infinite where the queue never empties.</summary>
    internal static double General(double arrivalsPerSecond, double serviceSeconds, double secondMoment)
    {
        double load = arrivalsPerSecond * serviceSeconds;
        return load >= 1 ? double.PositiveInfinity : arrivalsPerSecond * secondMoment / (2 * (1 - load));
    }

    /// <summary>M/D/1 through a pipeline of two stages of D/2 each (DistServe): D + lambda D^2 / (4 (2 - lambda D)).</summary>
    internal static double PipelinedFirstToken(double arrivalsPerSecond, double seconds) => seconds + arrivalsPerSecond * seconds * seconds / (4 * (2 - arrivalsPerSecond * seconds));

    /// <summary>M/D/1 on a node that K-fold parallelism speeds up K' times (DistServe): D/K + lambda D^2 / (2 K (K - lambda D)).</summary>
    internal static double ParallelFirstToken(double arrivalsPerSecond, double seconds, double speedUp) =>
        seconds / speedUp + arrivalsPerSecond * seconds * seconds / (2 * speedUp * (speedUp - arrivalsPerSecond * seconds));
}

using System.Collections.Immutable;
using KvHandoff.Gateway.Contracts;
using KvHandoff.Layout;

namespace KvHandoff.Gateway.Routing;

/// <summary>Where an attempt runs.</summary>
/// <param name="Prefill">Null on the monolithic route.</param>
/// <param name="Decode">Generates; on the monolithic route it computes the prompt too.</param>
/// <param name="Chain">The prompt's granules under the workers' model.</param>
internal sealed record WorkerChoice(WorkerSeat? Prefill, WorkerSeat Decode, ImmutableArray<PrefixHash> Chain)
{
    /// <summary>"disaggregated" or "monolithic".</summary>
    internal string Route => Prefill is null ? "monolithic" : "disaggregated";
}

/// <summary>
/// Places requests: prefill where the fewest prompt tokens are still to be computed, this prompt's own included, less those that the worker
/// holds; decode where there is room, then where the fewest sequences are, a held prefix counting as one sequence fewer.
/// </summary>
internal sealed class WorkerChooser(WorkerPool pool, PrefixMemory prefixes)
{
    // Sequences that another gateway has queued at a prefill worker; of their length nothing is known but that it is some.
    private const int TokensPerForeignSequence = 256;

    // No load outweighs a lack of room, and only having failed this very request is worse.
    private const double NoRoom = 1e6, HasFailed = 1e9;

    /// <summary>The best place for a request among the workers that are up; null if there is none.</summary>
    /// <param name="request">What is to run.</param>
    /// <param name="failed">Workers that failed it before: taken only if there is no other.</param>
    /// <param name="ruledOut">Workers that it can never fit.</param>
    internal WorkerChoice? Choose(GatewayRequest request, IReadOnlySet<string> failed, IReadOnlySet<string> ruledOut)
    {
        WorkerSeat[] up = [.. pool.Seats.Where(s => s is { IsUp: true, Status: not null } && !ruledOut.Contains(s.Name))];
        var chains = new Dictionary<(string, string), (ImmutableArray<PrefixHash> Chain, Dictionary<string, int> Held)>();
        WorkerChoice? best = null;
        double bestCost = double.PositiveInfinity;
        if (request.Mode != RouteMode.Monolithic)
        {
            foreach (WorkerSeat prefill in up)
            {
                if (prefill.Status!.Phases != Phase.Prefill || prefill.Status.CacheTokens < request.Prompt.Length) continue;
                double prefillCost = PrefillCost(prefill) / 100;
                foreach (WorkerSeat decode in up)
                {
                    // Workers of different weights never share a request.
                    if (decode.Status is not { Phases: Phase.Decode, HandoffEndpoint: not null } || ModelOf(decode) != ModelOf(prefill) || !Fits(decode)) continue;
                    double cost = prefillCost + DecodeCost(decode);
                    if (cost < bestCost) (bestCost, best) = (cost, new WorkerChoice(prefill, decode, Known(prefill).Chain));
                }
            }
        }

        if (request.Mode == RouteMode.Disaggregated || (best is not null && request.Mode == RouteMode.Automatic)) return best;
        foreach (WorkerSeat both in up)
        {
            if (both.Status!.Phases != Phase.Both || !Fits(both)) continue;
            double cost = DecodeCost(both) + (PrefillCost(both) - (failed.Contains(both.Name) ? HasFailed : 0)) / 100;
            if (cost < bestCost) (bestCost, best) = (cost, new WorkerChoice(null, both, Known(both).Chain));
        }

        return best;

        // What is larger than the whole cache would wait there for room that never comes.
        bool Fits(WorkerSeat seat) => seat.Status!.CacheTokens >= request.Prompt.Length + request.MaxTokens;

        double PrefillCost(WorkerSeat seat)
        {
            int underWay = Math.Max(seat.PromptTokensUnderWay, Math.Max(0, seat.Load - seat.Sequences) * TokensPerForeignSequence);
            return underWay + request.Prompt.Length - Known(seat).Held.GetValueOrDefault(seat.Name) + (failed.Contains(seat.Name) ? HasFailed : 0);
        }

        double DecodeCost(WorkerSeat seat)
        {
            double held = (double)Known(seat).Held.GetValueOrDefault(seat.Name) / request.Prompt.Length;
            bool hasRoom = seat.FreeTokens >= request.Prompt.Length + request.MaxTokens;
            return seat.Load - held + (hasRoom ? 0 : NoRoom) + (failed.Contains(seat.Name) ? HasFailed : 0);
        }

        (ImmutableArray<PrefixHash> Chain, Dictionary<string, int> Held) Known(WorkerSeat seat)
        {
            if (chains.TryGetValue(ModelOf(seat), out (ImmutableArray<PrefixHash> Chain, Dictionary<string, int> Held) known)) return known;
            ImmutableArray<PrefixHash> chain = PrefixMemory.Chain(seat.Status!.Model, seat.Status.ModelRevision, request.Prompt);
            return chains[ModelOf(seat)] = (chain, prefixes.Held(chain));
        }
    }

    private static (string Model, string Revision) ModelOf(WorkerSeat seat) => (seat.Status!.Model, seat.Status.ModelRevision);
}

using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

public sealed class HandoffStateTests
{
    private static readonly HandoffEvent[] Events = Enum.GetValues<HandoffEvent>();

    [Fact]
    public void Every_reachable_state_keeps_the_rules_under_every_event()
    {
        var seen = new HashSet<HandoffState> { HandoffState.Initial };
        var open = new Queue<HandoffState>(seen);
        while (open.TryDequeue(out HandoffState state))
        {
            foreach (HandoffEvent happened in Events)
            {
                HandoffState next = state.After(happened);
                if (state.IsTerminal) Assert.Equal(state, next);
                Assert.True(next.Status >= state.Status, $"{state} went back to {next} on {happened}");
                if (next.Status == HandoffStatus.Committed && happened != HandoffEvent.VerdictCommitted && !state.IsTerminal)
                    Assert.True(next is { AllLanded: true, ManifestReceived: true });
                if (next.Status == HandoffStatus.Rejected) Assert.Contains(state.Status, new[] { HandoffStatus.Offered, HandoffStatus.Rejected });
                if (seen.Add(next)) open.Enqueue(next);
            }
        }

        Assert.Equal(Enum.GetValues<HandoffStatus>().Order(), seen.Select(s => s.Status).Distinct().Order());
    }

    [Theory]
    [InlineData(new[] { HandoffEvent.Granted, HandoffEvent.AllLanded, HandoffEvent.ManifestReceived }, HandoffStatus.Committed)]
    [InlineData(new[] { HandoffEvent.Granted, HandoffEvent.ManifestReceived, HandoffEvent.AllLanded }, HandoffStatus.Committed)]
    [InlineData(new[] { HandoffEvent.Granted, HandoffEvent.AllLanded, HandoffEvent.AllLanded }, HandoffStatus.Landing)]
    [InlineData(new[] { HandoffEvent.AllLanded, HandoffEvent.ManifestReceived }, HandoffStatus.Offered)]
    [InlineData(new[] { HandoffEvent.Granted, HandoffEvent.TimedOut, HandoffEvent.VerdictCommitted }, HandoffStatus.Expired)]
    [InlineData(new[] { HandoffEvent.Declined, HandoffEvent.Granted }, HandoffStatus.Rejected)]
    public void Orders_of_events(HandoffEvent[] events, HandoffStatus expected) =>
        Assert.Equal(expected, events.Aggregate(HandoffState.Initial, (state, happened) => state.After(happened)).Status);
}

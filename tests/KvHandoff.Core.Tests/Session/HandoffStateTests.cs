using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

public sealed class HandoffStateTests
{
    private static readonly HandoffState[] Starts =
        [.. Enum.GetValues<HandoffRole>().SelectMany(role => new[] { HandoffState.Initial(role), HandoffState.Initial(role, exposed: true) })];

    private static readonly HandoffEvent[] Events = Enum.GetValues<HandoffEvent>();

    [Fact]
    public void Every_reachable_state_keeps_the_rules_under_every_event()
    {
        var seen = new HashSet<HandoffState>(Starts);
        var open = new Queue<HandoffState>(seen);
        while (open.TryDequeue(out HandoffState state))
        {
            foreach (HandoffEvent happened in Events)
            {
                HandoffState next = state.After(happened);
                HandoffEffects effects = state.EffectsOf(next);
                if (state.IsTerminal) Assert.Equal(state with { InUse = next.InUse, IsExposed = next.IsExposed }, next);
                Assert.True(next.Status >= state.Status, $"{state} went back to {next} on {happened}");
                if (next.Status is HandoffStatus.Committed or HandoffStatus.Prepared && next.Role != HandoffRole.Sender)
                    Assert.True(next is { AllLanded: true, ManifestReceived: true });
                if (next.Status == HandoffStatus.Committed && next.Role == HandoffRole.GroupReceiver && !state.IsTerminal)
                    Assert.Equal((HandoffStatus.Prepared, HandoffEvent.GroupCommitted), (state.Status, happened));
                if (next.Status == HandoffStatus.Rejected) Assert.Contains(state.Status, new[] { HandoffStatus.Offered, HandoffStatus.Rejected });
                // Ends are announced once, and blocks given back once, when nobody can touch them any more.
                Assert.Equal(next.IsTerminal && !state.IsTerminal, (effects & (HandoffEffects.Publish | HandoffEffects.Fail)) != 0);
                if (effects.HasFlag(HandoffEffects.Release)) Assert.True(next is { InUse: false, IsExposed: false, IsTerminal: true } && !state.IsReleased);
                if (next.Role != HandoffRole.Sender && next.Status == HandoffStatus.Committed) Assert.False(effects.HasFlag(HandoffEffects.Release));
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
    [InlineData(new[] { HandoffEvent.Granted, HandoffEvent.Detached, HandoffEvent.ManifestReceived, HandoffEvent.Attached, HandoffEvent.AllLanded }, HandoffStatus.Committed)]
    [InlineData(new[] { HandoffEvent.Granted, HandoffEvent.VerdictCommitted }, HandoffStatus.Landing)]
    [InlineData(new[] { HandoffEvent.Granted, HandoffEvent.TimedOut, HandoffEvent.VerdictCommitted }, HandoffStatus.Expired)]
    [InlineData(new[] { HandoffEvent.Declined, HandoffEvent.Granted }, HandoffStatus.Rejected)]
    public void Orders_of_events(HandoffEvent[] events, HandoffStatus expected) =>
        Assert.Equal(expected, events.Aggregate(HandoffState.Initial(HandoffRole.Receiver), (state, happened) => state.After(happened)).Status);
}

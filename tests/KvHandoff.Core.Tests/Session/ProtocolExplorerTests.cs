using System.Diagnostics;
using KvHandoff.Session;
using Xunit.Abstractions;

namespace KvHandoff.Core.Tests.Session;

/// <summary>
/// Every order of messages, losses, duplicates, crashes, restarts, breaks and deadlines within small bounds, run through the very functions that the
/// session runs; and broken functions, each of which the same exploration has to catch.
/// </summary>
public sealed class ProtocolExplorerTests(ITestOutputHelper output)
{
    private static readonly ProtocolBounds Plain = new(Links: 1, Granules: 2);
    private static readonly ProtocolBounds Windowed = new(Links: 1, Granules: 2, Window: true);
    private static readonly ProtocolBounds Resumed = new(Links: 1, Granules: 1, Resume: true, Restarts: 1);
    private static readonly ProtocolBounds Grouped = new(Links: 2, Granules: 1);

    public static TheoryData<string> Names => ["plain", "window", "window, resume and restart", "group", "group and restart of its coordinator"];

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_world_keeps_the_rules(string name)
    {
        ProtocolBounds bounds = name switch
        {
            "plain" => Plain with { Restarts = 1 },
            "window" => Windowed,
            "window, resume and restart" => Resumed with { Window = true },
            "group" => Grouped,
            _ => Grouped with { Restarts = 1, Deaths = false },
        };
        long started = Stopwatch.GetTimestamp();
        var explorer = new ProtocolExplorer(ProtocolRules.Session, bounds);
        string? broken = explorer.Explore();
        output.WriteLine($"{name}: {explorer.Worlds} worlds, {explorer.Steps} steps, {Stopwatch.GetElapsedTime(started).TotalSeconds:F1} s; ends {string.Join(' ', explorer.Ends.Order())}");
        Assert.Null(broken);
        // It went all the way: a handoff is committed on both sides, and each side ends alone while the other commits or not.
        Assert.Contains((HandoffStatus.Committed, HandoffStatus.Committed), explorer.Ends);
        Assert.Contains((HandoffStatus.Expired, HandoffStatus.Committed), explorer.Ends);
        Assert.Contains((HandoffStatus.Expired, HandoffStatus.Expired), explorer.Ends);
        Assert.Contains((HandoffStatus.Aborted, HandoffStatus.Aborted), explorer.Ends);
        Assert.DoesNotContain(explorer.Ends, e => e.Sender == HandoffStatus.Committed && e.Receiver != HandoffStatus.Committed && bounds.Restarts == 0);
    }

    public static TheoryData<string> Faults => [.. Broken.Keys];

    private static readonly Dictionary<string, (ProtocolBounds Bounds, ProtocolRules Rules, string Found)> Broken = new()
    {
        ["releases while exposed"] = (Windowed, With(effects: (state, next) =>
            state.EffectsOf(next) | (state is { InUse: true } && next is { IsTerminal: true, InUse: false, Status: not HandoffStatus.Committed } ? HandoffEffects.Release : 0)), "given back"),
        ["releases while a thread is inside"] = (Plain, With(effects: (state, next) =>
            state.EffectsOf(next) | (next.IsTerminal && !state.IsTerminal && next.Status != HandoffStatus.Committed ? HandoffEffects.Release : 0)), "with a thread inside"),
        ["commits without the manifest"] = (Plain, With((state, happened) =>
            happened == HandoffEvent.AllLanded && state is { Role: HandoffRole.Receiver, Status: HandoffStatus.Landing } ? state with { AllLanded = true, Status = HandoffStatus.Committed } : state.After(happened)), "manifest False"),
        ["commits without all granules"] = (Plain, With((state, happened) =>
            happened == HandoffEvent.ManifestReceived && state is { Role: HandoffRole.Receiver, Status: HandoffStatus.Landing } ? state with { ManifestReceived = true, Status = HandoffStatus.Committed } : state.After(happened)), "Published with frames"),
        ["sender commits when all is sent"] = (Plain, With((state, happened) =>
            happened == HandoffEvent.AllLanded && state is { Role: HandoffRole.Sender, Status: HandoffStatus.Landing } ? state with { Status = HandoffStatus.Committed } : state.After(happened)), "no receiver had committed"),
        ["an end is changed by a late verdict"] = (Plain, With((state, happened) =>
            happened == HandoffEvent.VerdictCommitted && state is { Role: HandoffRole.Sender, Status: HandoffStatus.Expired } ? state with { Status = HandoffStatus.Committed } : state.After(happened)), "Expired of the sender became Committed"),
        ["an expired receiver commits after all"] = (Plain, With((state, happened) =>
            happened == HandoffEvent.AllLanded && state is { Role: HandoffRole.Receiver, Status: HandoffStatus.Expired, ManifestReceived: true } ? state with { Status = HandoffStatus.Committed } : state.After(happened)), "Expired of the receiver became Committed"),
        ["commits without the coordinator"] = (Grouped, With((state, happened) =>
            state.After(happened) is { Role: HandoffRole.GroupReceiver, Status: HandoffStatus.Prepared } prepared && state.Status == HandoffStatus.Landing ? prepared with { Status = HandoffStatus.Committed } : state.After(happened)), "before all were prepared"),
        ["a member breaks its word"] = (Grouped, With((state, happened) =>
            happened == HandoffEvent.Failed && state.Status == HandoffStatus.Prepared ? state with { Status = HandoffStatus.Aborted } : state.After(happened)), "broke its word"),
        ["a prepared member waits for ever"] = (Grouped, With((state, happened) =>
            happened == HandoffEvent.TimedOut && state.Status == HandoffStatus.Prepared ? state : state.After(happened)), "After its deadline the receiver is"),
        ["a detached handoff waits for ever"] = (Resumed, With((state, happened) =>
            happened == HandoffEvent.TimedOut && state.IsDetached ? state : state.After(happened)), "After its deadline the"),
        ["blocks of the ended are never given back"] = (Windowed, With((state, happened) =>
            happened == HandoffEvent.WindowClosed ? state : state.After(happened)), "keeps the blocks"),
    };

    [Theory]
    [MemberData(nameof(Faults))]
    public void A_broken_function_is_caught_with_a_trace(string fault)
    {
        (ProtocolBounds bounds, ProtocolRules rules, string found) = Broken[fault];
        var explorer = new ProtocolExplorer(rules, bounds);
        string? broken = explorer.Explore();
        output.WriteLine($"{fault}, after {explorer.Worlds} worlds: {broken}");
        Assert.NotNull(broken);
        Assert.Contains(found, broken);
        Assert.Contains("\n  1. ", broken);
    }

    private static ProtocolRules With(Func<HandoffState, HandoffEvent, HandoffState>? after = null, Func<HandoffState, HandoffState, HandoffEffects>? effects = null) =>
        new(after ?? ProtocolRules.Session.After, effects ?? ProtocolRules.Session.EffectsOf);
}

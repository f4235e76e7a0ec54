using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

/// <summary>Visits every world that can be reached within bounds, breadth first, so that a trace to a broken rule is a shortest one.</summary>
internal sealed class ProtocolExplorer(ProtocolRules rules, ProtocolBounds bounds)
{
    private readonly HashSet<ProtocolWorld> _visited = new(new ProtocolWorldBytes());
    private readonly List<ProtocolWorld> _worlds = [];
    private readonly List<(int From, string Step)> _came = [];
    private readonly ProtocolSteps _steps = new(rules, bounds);

    /// <summary>Worlds that were visited.</summary>
    internal int Worlds => _worlds.Count;

    /// <summary>Steps that were taken.</summary>
    internal long Steps { get; private set; }

    /// <summary>Pairs of ends, sender's and receiver's, that occur.</summary>
    internal HashSet<(HandoffStatus Sender, HandoffStatus Receiver)> Ends { get; } = [];

    /// <summary>The shortest way to a broken rule, or null.</summary>
    internal string? Explore()
    {
        var start = new ProtocolWorld { First = LinkWorld.Start(), Second = bounds.Links > 1 ? LinkWorld.Start() : default };
        Visit(start, -1, "");
        for (int at = 0; at < _worlds.Count; at++)
        {
            try
            {
                Check(_worlds[at]);
                foreach ((string step, ProtocolWorld world) in _steps.From(_worlds[at]))
                {
                    Steps++;
                    Visit(world, at, step);
                }
            }
            catch (ProtocolViolation broken)
            {
                return $"{broken.Message}\n{Trace(at)}";
            }
        }

        return null;
    }

    private void Visit(in ProtocolWorld world, int from, string step)
    {
        if (!_visited.Add(world)) return;
        _worlds.Add(world);
        _came.Add((from, step));
    }

    private void Check(in ProtocolWorld world)
    {
        ProtocolWorld over = _steps.AfterDeadlines(world);
        for (int link = 0; link < bounds.Links; link++)
        {
            LinkWorld now = world[link], end = over[link];
            if (!now.SenderDead && now.Sender.Status == HandoffStatus.Committed && !now.EverCommitted) throw new ProtocolViolation("The sender is committed and no receiver ever was");
            if (!end.SenderDead && !(end.Sender.IsTerminal && end.SenderFree)) throw new ProtocolViolation($"After its deadline the sender is {end.Sender}");
            if (!end.Known) continue;
            if (!end.Receiver.IsTerminal) throw new ProtocolViolation($"After its deadline the receiver is {end.Receiver}");
            if (end.Receiver.Status != HandoffStatus.Committed && !end.IsFree(end.Life)) throw new ProtocolViolation($"After its deadline the receiver keeps the blocks: {end.Receiver}");
            if (!end.SenderDead) Ends.Add((end.Sender.Status, end.Receiver.Status));
        }
    }

    private string Trace(int at)
    {
        var steps = new List<string>();
        for (int i = at; _came[i].From >= 0; i = _came[i].From) steps.Add(_came[i].Step);
        steps.Reverse();
        return string.Join('\n', steps.Select((step, i) => $"  {i + 1}. {step}"));
    }
}

using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using KvHandoff.Session;

namespace KvHandoff.Core.Tests.Session;

/// <summary>Tests that listen to the process, or that need nobody to listen, run one after another.</summary>
[CollectionDefinition(Name)]
public sealed class TelemetryCollection
{
    public const string Name = "telemetry";
}

/// <summary>One recorded value.</summary>
internal sealed record Recorded(string Instrument, double Value, IReadOnlyDictionary<string, object?> Tags, string? HandoffId);

/// <summary>
/// Listens to the library's meter and activity source. Other tests hand sequences over at the same time: what is recorded is told apart by the
/// activity that is current meanwhile.
/// </summary>
internal sealed class TelemetryProbe : IDisposable
{
    private readonly MeterListener _meters = new();
    private readonly ActivityListener _activities;
    private readonly ConcurrentQueue<Recorded> _recorded = new();
    private readonly ConcurrentQueue<Activity> _ended = new();

    internal TelemetryProbe()
    {
        _meters.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name == HandoffMeters.MeterName) listener.EnableMeasurementEvents(instrument);
        };
        _meters.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Record(instrument, value, tags));
        _meters.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Record(instrument, value, tags));
        _meters.Start();
        _activities = new ActivityListener
        {
            ShouldListenTo = source => source.Name is HandoffActivity.SourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = _ended.Enqueue,
        };
        ActivitySource.AddActivityListener(_activities);
    }

    /// <summary>What was recorded for a handoff, by instrument and side.</summary>
    internal Recorded[] Of(Guid handoff, string instrument, string role) =>
        [.. _recorded.Where(r => r.Instrument == instrument && r.HandoffId == handoff.ToString() && Equals(r.Tags.GetValueOrDefault("role"), role))];

    /// <summary>The one value of an instrument and side.</summary>
    internal Recorded One(Guid handoff, string instrument, string role) => Assert.Single(Of(handoff, instrument, role));

    /// <summary>Values of an observable instrument for an endpoint, now.</summary>
    internal Recorded[] Observe(string instrument, string endpoint)
    {
        int before = _recorded.Count;
        _meters.RecordObservableInstruments();
        return [.. _recorded.Skip(before).Where(r => r.Instrument == instrument && Equals(r.Tags.GetValueOrDefault("endpoint"), endpoint))];
    }

    internal Activity[] Activities(Guid handoff, string name) =>
        [.. _ended.Where(a => a.OperationName == name && Equals(a.GetTagItem(HandoffActivity.HandoffIdTag), handoff.ToString()))];

    internal Activity Activity(Guid handoff, string name) => Assert.Single(Activities(handoff, name));

    public void Dispose()
    {
        _meters.Dispose();
        _activities.Dispose();
    }

    private void Record(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags) => _recorded.Enqueue(
        new Recorded(instrument.Name, value, tags.ToArray().ToDictionary(t => t.Key, t => t.Value), System.Diagnostics.Activity.Current?.GetTagItem(HandoffActivity.HandoffIdTag) as string));
}

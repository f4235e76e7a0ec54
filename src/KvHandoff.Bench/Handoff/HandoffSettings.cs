using KvHandoff.Bench.Prompts;
using KvHandoff.Bench.Synthesis;
using KvHandoff.Bench.Workers;
using KvHandoff.Codec;

namespace KvHandoff.Bench.Handoff;

/// <summary>What the job is to do; every value was checked when the command line was read.</summary>
internal sealed record HandoffSettings
{
    /// <summary>Repetitions of the shaped transfer that count; one more goes before them.</summary>
    internal const int TransferSamples = 3;

    /// <summary>The same for transports that are shown beside the main one.</summary>
    internal const int ExtraTransferSamples = 2;

    /// <summary>Prompt tokens of the shaped transfer and of the projection.</summary>
    internal const int DefaultTokens = 3100;

    /// <summary>"all", the reference model's name, or a shaped model's name.</summary>
    internal string Model { get; init; } = All;

    internal const string All = "all";

    /// <summary>What the main job shows: as it is, without loss, and the two 8-bit forms that are recommended.</summary>
    internal static IReadOnlyList<string> ShownCodecs { get; } = [KvCodecs.Raw.Name, KvCodecs.ExponentWindow.Name, KvCodecs.Fp8.Name, KvCodecs.Int8.Name];

    internal string ShapedModelName => Model is All or ReferenceModel.Name ? ShapedModel.Default : Model;

    internal bool RunsReference => Model is All or ReferenceModel.Name;

    internal bool RunsShaped => Model != ReferenceModel.Name;

    internal int Tokens { get; init; } = DefaultTokens;

    /// <summary>An <see cref="OfferedCodec"/>'s name; null for raw prompts, and for the shaped transfer <see cref="ShownCodecs"/>.</summary>
    internal string? Codec { get; init; }

    internal int Streams { get; init; } = 1;

    /// <summary>The transports that were asked for; null: tcp for everything, and the others beside it where the main job runs.</summary>
    internal IReadOnlyList<string>? Transports { get; init; }

    internal string FirstTransport => Transports?[0] ?? WorkerTransport.Tcp;

    /// <summary>Transports that some handoff of this job goes over.</summary>
    internal IReadOnlyList<string> UsedTransports => Transports ?? (Sweep || ShowsAllTransports ? WorkerTransport.Plain : [WorkerTransport.Tcp]);

    /// <summary>The main job shows the shaped transfer over every transport.</summary>
    internal bool ShowsAllTransports => Transports is null && Model == All && Codec is null && Fault == LandedFault.None;

    /// <summary>Nothing but handoffs of many sizes.</summary>
    internal bool Sweep { get; init; }

    internal IReadOnlyList<PromptShape> Prompts { get; init; } = PromptSet.Shapes;

    /// <summary>Most tokens to generate per prompt; null for each prompt's own number.</summary>
    internal int? Completion { get; init; }

    internal bool SkipStages { get; init; }

    internal string? JsonFile { get; init; }

    internal required string OutputDirectory { get; init; }

    internal bool Quiet { get; init; }

    internal string Fault { get; init; } = LandedFault.None;

    internal int LayerDelayMilliseconds { get; init; }
}

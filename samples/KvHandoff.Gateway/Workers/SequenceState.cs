using System.Buffers.Binary;
using System.Collections.Immutable;
using KvHandoff.Wire;

namespace KvHandoff.Gateway.Workers;

/// <summary>
/// What a manifest says of a sequence beside its rows: where the prompt ends, and how much of the rest the client was told. From a prefill
/// worker the prompt is all of it, and nothing was told.
/// </summary>
/// <param name="Prompt">Tokens of the prompt.</param>
/// <param name="Completion">Tokens that were generated, the last one's row not yet in the cache.</param>
/// <param name="Told">Of them, how many the client was told.</param>
internal sealed record SequenceState(int[] Prompt, int[] Completion, int Told)
{
    private const int StateBytes = 8;

    /// <summary>The manifest of a sequence that goes on elsewhere.</summary>
    public HandoffManifest ToManifest()
    {
        var state = new byte[StateBytes];
        BinaryPrimitives.WriteInt32LittleEndian(state, Prompt.Length);
        BinaryPrimitives.WriteInt32LittleEndian(state.AsSpan(4), Told);
        int[] rows = [.. Prompt, .. Completion.AsSpan(0, Completion.Length - 1)];
        return new HandoffManifest(ImmutableArray.Create(rows), rows.Length, Completion[^1], state);
    }

    /// <summary>Null when the manifest is not one that a sequence can go on from, with <paramref name="error"/> for people.</summary>
    public static SequenceState? Read(HandoffManifest manifest, int vocabulary, out string? error)
    {
        ReadOnlySpan<byte> state = manifest.SamplerState.Span;
        int rows = manifest.TokenIds.Length, prompt = rows, told = 0;
        if (state.Length == StateBytes) (prompt, told) = (BinaryPrimitives.ReadInt32LittleEndian(state), BinaryPrimitives.ReadInt32LittleEndian(state[4..]));
        error = null;
        if (state.Length is not (0 or StateBytes)) error = $"The manifest's state has {state.Length} bytes; allowed: 0 or {StateBytes}.";
        else if (rows != manifest.Position) error = $"The manifest has {rows} token ids for {manifest.Position} rows.";
        else if (prompt < 1 || prompt > rows) error = $"The manifest's prompt has {prompt} tokens; allowed: 1 to {rows}.";
        else if (told < 0 || told > rows - prompt + 1) error = $"The manifest says that {told} of {rows - prompt + 1} generated tokens were told.";
        else if ((uint)manifest.FirstToken >= (uint)vocabulary) error = $"The manifest's next token is {manifest.FirstToken}; allowed: 0 to {vocabulary - 1}.";
        else if (manifest.TokenIds.Any(t => (uint)t >= (uint)vocabulary)) error = $"A token of the manifest is none of 0 to {vocabulary - 1}.";
        return error is null ? new SequenceState([.. manifest.TokenIds.AsSpan(0, prompt)], [.. manifest.TokenIds.AsSpan(prompt, rows - prompt), manifest.FirstToken], told) : null;
    }
}

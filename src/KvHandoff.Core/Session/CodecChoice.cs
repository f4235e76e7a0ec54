using System.Collections.Immutable;
using KvHandoff.Codec;

namespace KvHandoff.Session;

/// <summary>The codec of every frame of one data connection: the one that was offered, or what the governor finds to be fastest.</summary>
internal sealed class CodecChoice
{
    private ImmutableArray<IKvCodec> _codecs = [];
    private CodecGovernor? _governor;

    /// <summary>The codec of the next frame.</summary>
    internal IKvCodec Next(ImmutableArray<IKvCodec> codecs, long rawBytes)
    {
        if (codecs.Length == 1) return codecs[0];
        if (_governor is null || !_codecs.AsSpan().SequenceEqual(codecs.AsSpan()))
        {
            _codecs = codecs;
            _governor = new CodecGovernor([.. codecs.Select(c => c.Id)]);
        }

        CodecId chosen = _governor.Choose(rawBytes);
        foreach (IKvCodec codec in codecs)
        {
            if (codec.Id == chosen) return codec;
        }

        return codecs[0];
    }

    /// <summary>
    /// Takes in what a frame cost. One thread encodes and sends in turn, so the time of both is what the codec has to be judged by; a
    /// receiver or link that is behind shows in the send.
    /// </summary>
    internal void Report(IKvCodec codec, long rawBytes, long encodedBytes, double seconds) =>
        _governor?.Report(new CodecSample(codec.Id, rawBytes, encodedBytes, seconds, seconds));
}

namespace KvHandoff.Codec;

/// <summary>
/// Decides granule by granule whether to send raw or encoded, from what the granules before cost. Pure arithmetic over reported
/// samples: it has no clock.
/// </summary>
/// <remarks>
/// <para>Encoding, sending and decoding run as a pipeline, so a codec moves raw bytes at the rate of its slowest stage:
/// <c>min(encode, link * ratio, decode)</c>, and raw at <c>min(gather, link)</c>. A decode rate that no one reported is taken to be the
/// encode rate. The first granules go raw and show the link; then each candidate gets one granule, and three more if that was not
/// hopeless. A codec is taken up where it promises 3 % more than raw and left as soon as raw promises more.</para>
/// <para>Time in a blocking send includes waiting. A raw granule waits for nothing but the link (or a receiver that lands slowly, which
/// limits raw alike), so raw samples set the link's rate. An encoded granule may have waited for the decoder, and may have left for
/// the socket's buffer without waiting at all: it raises the link's rate to what was kept up over its slowest stage, which is a
/// lower bound, and lowers it only where the send was the slowest stage by far and the decoder's time is known.</para>
/// <para>Trying again costs at most 0.5 % of the time so far, and intervals double while the answer stays the same. Against raw
/// throughout, 1 GB loses at most 2 % while granules are no larger than 1/4096 of it and no candidate is more than 30 times slower
/// than raw: one granule of each candidate is sent before anything is known of it. Warm codecs up first: what the first call
/// compiles would count as encoding.</para>
/// <para>One governor serves one path; it is not thread-safe. Samples may arrive late, in any order, or never. Nothing is allocated after construction.</para>
/// </remarks>
public sealed partial class CodecGovernor
{
    private const int FirstRawGranules = 4;
    private const int ProbeGranules = 3;
    private const double Gain = 1.03;
    private const double Hopeless = 0.5;
    private const double ProbeTimeShare = 0.005;
    private const double ClearlySlowest = 2;
    private const long FirstProbeInterval = 32 << 20;
    private const long LongestProbeInterval = 4L << 30;

    private readonly Candidate[] _candidates;
    private Pace _link;
    private int _current, _probing = -1, _probesLeft;
    private long _rawBytes;
    private double _seconds, _probeSeconds;

    /// <summary>A governor that has seen nothing yet.</summary>
    /// <param name="candidates">The codecs that the caller's policy and both peers allow, besides raw, which always is.</param>
    public CodecGovernor(params ReadOnlySpan<CodecId> candidates)
    {
        int others = 0;
        foreach (CodecId id in candidates) others += id == CodecId.Raw ? 0 : 1;
        _candidates = new Candidate[1 + others];
        _candidates[0] = new Candidate(CodecId.Raw);
        foreach (CodecId id in candidates)
        {
            if (id == CodecId.Raw) continue;
            _candidates[^others] = new Candidate(id);
            others--;
        }
    }

    /// <summary>The codec in use, probes aside.</summary>
    public CodecId Current => _candidates[_current].Id;

    /// <summary>Bytes per second that the link carries, at least; 0 while unknown.</summary>
    public double LinkBytesPerSecond => _link.IsKnown ? 1 / _link.SecondsPerByte : 0;

    /// <summary>Raw bytes per second that a codec promises; 0 while unknown.</summary>
    public double PredictedBytesPerSecond(CodecId codec)
    {
        int index = IndexOf(codec);
        return index >= 0 && IsKnown(index) ? 1 / SecondsPerByte(index) : 0;
    }

    /// <summary>The codec of the next granule.</summary>
    /// <param name="rawBytes">Bytes of its rows.</param>
    public CodecId Choose(long rawBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rawBytes);
        _rawBytes += rawBytes;
        if (_candidates[0].Samples < FirstRawGranules) return CodecId.Raw;
        if (_probesLeft == 0) StartProbe(rawBytes);
        if (_probesLeft == 0) return Current;
        _probesLeft--;
        return _candidates[_probing].Id;
    }

    /// <summary>Takes in what a granule cost. A sample that says nothing (no bytes, no time, or no number) is ignored.</summary>
    public void Report(in CodecSample sample)
    {
        int index = IndexOf(sample.Codec);
        if (index < 0 || !sample.IsUsable) return;
        ref Candidate candidate = ref _candidates[index];
        candidate.Add(sample);
        AddToLink(sample);
        _seconds += sample.SlowestSeconds;
        if (index != _current && IsKnown(_current))
            _probeSeconds += Math.Max(0, sample.SlowestSeconds - sample.RawBytes * SecondsPerByte(_current));

        // The first granule of a candidate decides whether it is worth a closer look.
        if (index == _probing && candidate.Samples == 1 && _probesLeft == 0 && SecondsPerByte(index) * Hopeless < SecondsPerByte(0))
            _probesLeft = ProbeGranules;
        Decide();
    }

    private void AddToLink(in CodecSample sample)
    {
        if (sample.SendSeconds <= 0) return;
        bool isRaw = sample.Codec == CodecId.Raw;
        bool waitedForLink = isRaw
            ? sample.SendSeconds >= sample.EncodeSeconds
            : sample.DecodeSeconds > 0 && sample.SendSeconds >= ClearlySlowest * Math.Max(sample.EncodeSeconds, sample.DecodeSeconds);
        if (waitedForLink) _link.Add(sample.SendSeconds, sample.EncodedBytes);
        else _link.AtMost(sample.SlowestSeconds / sample.EncodedBytes);
    }

    private void Decide()
    {
        int best = 0;
        for (int i = 1; i < _candidates.Length; i++)
        {
            // A codec in use has to beat raw, another one has to beat what is in use by a margin.
            if (IsKnown(i) && SecondsPerByte(i) * (i == _current ? 1 : Gain) < SecondsPerByte(best) * (best != 0 && best == _current ? 1 / Gain : 1)) best = i;
        }

        if (best == _current) return;
        _current = best;
        foreach (ref Candidate candidate in _candidates.AsSpan()) candidate.ProbeInterval = FirstProbeInterval;
    }

    private void StartProbe(long rawBytes)
    {
        for (int i = 0; i < _candidates.Length; i++)
        {
            ref Candidate candidate = ref _candidates[i];
            if (i == _current || _rawBytes < candidate.NextProbeAt) continue;
            double cost = IsKnown(i) ? rawBytes * Math.Max(0, SecondsPerByte(i) - SecondsPerByte(_current)) : 0;
            if (_probeSeconds + cost > ProbeTimeShare * _seconds && candidate.Samples > 0) continue;
            _probing = i;
            _probesLeft = 1;
            candidate.NextProbeAt = _rawBytes + candidate.ProbeInterval;
            candidate.ProbeInterval = Math.Min(2 * candidate.ProbeInterval, LongestProbeInterval);
            return;
        }
    }

    private bool IsKnown(int index) => _candidates[index].Samples > 0 && _link.IsKnown;

    private double SecondsPerByte(int index) => _candidates[index].SecondsPerByte(_link.SecondsPerByte);

    private int IndexOf(CodecId codec)
    {
        for (int i = 0; i < _candidates.Length; i++)
        {
            if (_candidates[i].Id == codec) return i;
        }

        return -1;
    }
}

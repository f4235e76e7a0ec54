namespace KvHandoff.Codec;

public sealed partial class CodecGovernor
{
    /// <summary>A running mean of seconds per byte. Times are averaged, not rates: a pipeline adds up times.</summary>
    private struct Pace
    {
        private const double Weight = 0.25;

        // A thread that lost its processor makes one granule look very slow; one sample may not move the mean further than this.
        private const double LargestRise = 4;

        public double SecondsPerByte { get; private set; }

        public bool IsKnown { get; private set; }

        public void Add(double seconds, long bytes)
        {
            double pace = seconds / bytes;
            if (IsKnown) pace = SecondsPerByte + Weight * (Math.Min(pace, LargestRise * SecondsPerByte) - SecondsPerByte);
            Set(pace);
        }

        /// <summary>Lowers the mean to a pace that was kept: the truth is at most that.</summary>
        public void AtMost(double secondsPerByte)
        {
            if (!IsKnown || secondsPerByte < SecondsPerByte) Set(secondsPerByte);
        }

        private void Set(double secondsPerByte)
        {
            SecondsPerByte = secondsPerByte;
            IsKnown = true;
        }
    }

    /// <summary>What is known of one codec.</summary>
    private struct Candidate(CodecId id)
    {
        private Pace _encode, _decode, _expansion, _send;

        public CodecId Id { get; } = id;

        public int Samples { get; private set; }

        /// <summary>Raw bytes after which it is tried again, and how long to wait after that.</summary>
        public long NextProbeAt, ProbeInterval = FirstProbeInterval;

        /// <summary>Seconds per raw byte of the slowest stage.</summary>
        public readonly double SecondsPerByte(double linkSecondsPerByte)
        {
            // A send that waited for a decoder of which no one reports shows its pace all the same.
            double landing = _decode.IsKnown ? _decode.SecondsPerByte : _send.SecondsPerByte;
            return Math.Max(Math.Max(_encode.SecondsPerByte, landing), linkSecondsPerByte * _expansion.SecondsPerByte);
        }

        public void Add(in CodecSample sample)
        {
            Samples++;
            _encode.Add(sample.EncodeSeconds, sample.RawBytes);
            _expansion.Add(sample.EncodedBytes, sample.RawBytes);
            if (sample.DecodeSeconds > 0) _decode.Add(sample.DecodeSeconds, sample.RawBytes);
            // What raw sends wait for is the link, which is kept apart.
            else if (Id != CodecId.Raw) _send.Add(sample.SendSeconds, sample.RawBytes);
        }
    }
}

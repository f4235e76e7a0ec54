using System.Buffers;

namespace KvHandoff.Bench.Evaluation.Endpoint;

/// <summary>How much a stream may be, so that a broken or hostile server costs a failed request and no more.</summary>
internal sealed record SseLimits(int LineBytes = 1 << 20, int EventBytes = 4 << 20, long TotalBytes = 256 << 20);

/// <summary>
/// Server-sent events, as the HTML standard reads them: LF, CRLF or CR ends a line, an empty line ends an event, several data lines are joined by LF, a line
/// that begins with a colon is a comment. Bytes may come in any portions. Never throws; after a failure it takes nothing more.
/// </summary>
internal sealed class SseParser(SseLimits? limits = null)
{
    private readonly SseLimits _limits = limits ?? new SseLimits();
    private readonly ArrayBufferWriter<byte> _line = new(), _data = new();
    private bool _hasData, _skipLineFeed, _hasBegun;
    private string _event = "";
    private long _total;

    /// <summary>An event: its name, empty where none is given, and its data.</summary>
    internal delegate void EventHandler(string name, ReadOnlySpan<byte> data);

    internal int Comments { get; private set; }

    /// <summary>Data lines have come that no empty line has ended.</summary>
    internal bool HasPartialEvent => _hasData || _line.WrittenCount > 0;

    /// <summary>Why nothing more is taken; null while all is well.</summary>
    internal string? Failure { get; private set; }

    /// <summary>Takes the next bytes and tells every event that they complete.</summary>
    /// <returns>False after a failure.</returns>
    internal bool TryFeed(ReadOnlySpan<byte> bytes, EventHandler onEvent)
    {
        if (Failure is not null) return false;
        _total += bytes.Length;
        if (_total > _limits.TotalBytes) return Fail($"The stream is longer than {_limits.TotalBytes} bytes.");
        while (!bytes.IsEmpty)
        {
            if (_skipLineFeed)
            {
                // The second half of CRLF.
                _skipLineFeed = false;
                if (bytes[0] == '\n')
                {
                    bytes = bytes[1..];
                    continue;
                }
            }

            int end = bytes.IndexOfAny((byte)'\n', (byte)'\r');
            ReadOnlySpan<byte> part = end < 0 ? bytes : bytes[..end];
            if (_line.WrittenCount + (long)part.Length > _limits.LineBytes) return Fail($"A line of the stream is longer than {_limits.LineBytes} bytes.");
            if (end < 0)
            {
                _line.Write(part);
                return true;
            }

            _skipLineFeed = bytes[end] == '\r';
            bytes = bytes[(end + 1)..];
            bool isTaken;
            if (_line.WrittenCount == 0) isTaken = TakeLine(part, onEvent);
            else
            {
                _line.Write(part);
                isTaken = TakeLine(_line.WrittenSpan, onEvent);
                _line.ResetWrittenCount();
            }

            if (!isTaken) return false;
        }

        return true;
    }

    /// <summary>The stream has ended: a last event without its empty line is told if <paramref name="isComplete"/> says that its data are whole.</summary>
    internal void Finish(EventHandler onEvent, Func<ReadOnlySpan<byte>, bool> isComplete)
    {
        if (Failure is not null) return;
        if (_line.WrittenCount > 0)
        {
            TakeLine(_line.WrittenSpan, onEvent);
            _line.ResetWrittenCount();
        }

        if (_hasData && isComplete(_data.WrittenSpan)) Dispatch(onEvent);
    }

    private bool TakeLine(ReadOnlySpan<byte> line, EventHandler onEvent)
    {
        if (!_hasBegun)
        {
            _hasBegun = true;
            if (line.StartsWith((ReadOnlySpan<byte>)[0xEF, 0xBB, 0xBF])) line = line[3..];
        }

        if (line.IsEmpty)
        {
            if (_hasData) Dispatch(onEvent);
            _event = "";
            return true;
        }

        int colon = line.IndexOf((byte)':');
        if (colon == 0)
        {
            Comments++;
            return true;
        }

        ReadOnlySpan<byte> field = colon < 0 ? line : line[..colon], value = colon < 0 ? [] : line[(colon + 1)..];
        if (!value.IsEmpty && value[0] == ' ') value = value[1..];
        if (field.SequenceEqual("data"u8))
        {
            if (_data.WrittenCount + (long)value.Length + 1 > _limits.EventBytes) return Fail($"An event of the stream is longer than {_limits.EventBytes} bytes.");
            if (_hasData) _data.Write("\n"u8);
            _data.Write(value);
            _hasData = true;
        }
        else if (field.SequenceEqual("event"u8))
        {
            const int MostName = 64;
            _event = System.Text.Encoding.UTF8.GetString(value[..Math.Min(value.Length, MostName)]);
        }

        return true;
    }

    private void Dispatch(EventHandler onEvent)
    {
        onEvent(_event, _data.WrittenSpan);
        _data.ResetWrittenCount();
        _hasData = false;
        _event = "";
    }

    private bool Fail(string failure)
    {
        Failure = failure;
        return false;
    }
}

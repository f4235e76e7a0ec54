using System.Text;

namespace KvHandoff.Gateway.Discovery;

/// <summary>Lines of a peer's stream, none longer than allowed.</summary>
internal sealed class BoundedLines(TextReader reader, int maxCharacters)
{
    private readonly char[] _buffer = new char[4096];
    private readonly StringBuilder _line = new();
    private int _at, _end;

    /// <summary>The next line without its end; null at the end of the stream.</summary>
    /// <exception cref="IOException">It is longer than allowed.</exception>
    internal async Task<string?> ReadAsync(CancellationToken cancellationToken)
    {
        _line.Clear();
        while (true)
        {
            if (_at == _end)
            {
                (_at, _end) = (0, await reader.ReadAsync(_buffer.AsMemory(), cancellationToken));
                if (_end == 0) return _line.Length > 0 ? _line.ToString() : null;
            }

            int length = _buffer.AsSpan(_at, _end - _at).IndexOf('\n');
            int taken = length < 0 ? _end - _at : length;
            if (_line.Length + taken > maxCharacters) throw new IOException($"A line has more than {maxCharacters} characters.");
            _line.Append(_buffer, _at, taken);
            _at += length < 0 ? taken : taken + 1;
            if (length >= 0) return _line.ToString();
        }
    }
}

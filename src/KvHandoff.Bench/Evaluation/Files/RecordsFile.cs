using System.Text.Json;
using System.Threading.Channels;
using KvHandoff.Bench.Reports;

namespace KvHandoff.Bench.Evaluation.Files;

/// <summary>records.jsonl: a line per request, written as requests end, so that an interrupted run keeps what it had. One writer of its own: no request waits for the disk.</summary>
internal sealed class RecordsFile : IAsyncDisposable
{
    internal const string Name = "records.jsonl";

    /// <summary>Arrival times of more chunks than these stand in this file alone.</summary>
    internal const long MostChunksInSummary = 200_000;

    private static readonly JsonSerializerOptions Lines = new(Summary.Options) { WriteIndented = false };
    private readonly Channel<RequestRecord> _queue = Channel.CreateUnbounded<RequestRecord>(new UnboundedChannelOptions { SingleReader = true });
    private readonly Task _writing;

    internal RecordsFile(string path)
    {
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!);
        _writing = WriteAsync(new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, 64 << 10, useAsync: false));
    }

    internal void Add(RequestRecord record) => _queue.Writer.TryWrite(record);

    internal static string Line(RequestRecord record) => JsonSerializer.Serialize(record, Lines);

    /// <summary>Reads the records back.</summary>
    /// <exception cref="InvalidDataException">A line is no record; the message names it.</exception>
    internal static IEnumerable<RequestRecord> Read(IEnumerable<string> lines)
    {
        int number = 0;
        foreach (string line in lines)
        {
            number++;
            if (string.IsNullOrWhiteSpace(line)) continue;
            yield return Parse(line, number);
        }
    }

    /// <summary>Completes when every record is in the file.</summary>
    public async ValueTask DisposeAsync()
    {
        _queue.Writer.TryComplete();
        await _writing;
    }

    private async Task WriteAsync(FileStream file)
    {
        await using (file)
        {
            await foreach (RequestRecord record in _queue.Reader.ReadAllAsync())
            {
                JsonSerializer.Serialize(file, record, Lines);
                file.WriteByte((byte)'\n');
                if (!_queue.Reader.TryPeek(out _)) file.Flush();
            }
        }
    }

    private static RequestRecord Parse(string line, int number)
    {
        try
        {
            return JsonSerializer.Deserialize<RequestRecord>(line, Lines) ?? throw new InvalidDataException($"Line {number} of the records is null.");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"Line {number} of the records cannot be read: {e.Message}");
        }
    }
}

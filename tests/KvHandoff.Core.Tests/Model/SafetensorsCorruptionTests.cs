using System.Buffers.Binary;
using System.Text;
using KvHandoff.Model.Checkpoint;
using KvHandoff.Numerics;

namespace KvHandoff.Core.Tests.Model;

/// <summary>Files from outside: each is read, or refused with the file's name and both values.</summary>
public sealed class SafetensorsCorruptionTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    public static TheoryData<string, string, string> BadHeaders => new()
    {
        // header, what is expected, what was found; the data has 8 bytes
        { "{ ", "JSON", "" },
        { "[]", "a JSON object", "Array" },
        { """{"a":1}""", "an object", "Number" },
        { """{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}""", "BF16, F16 or F32", "I64" },
        { """{"a":{"shape":[2],"data_offsets":[0,8]}}""", "BF16, F16 or F32", "none" },
        { """{"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}}""", "BF16, F16 or F32", "none" },
        { """{"a":{"dtype":"F32","data_offsets":[0,8]}}""", "an array", "none" },
        { """{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", "integers of 0 or more", "-2" },
        { """{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}""", "integers of 0 or more", "2.5" },
        { """{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}}""", "0 to 8 numbers", "9" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}""", "2 to 2 numbers", "1" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", "begin <= end", "[8, 0]" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}}""", "12 bytes of data", "8 bytes" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775807]}}""", "9223372036854775807 bytes", "8 bytes" },
        { """{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""", "12 bytes for fp32 [3]", "8 bytes" },
        { """{"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,8]}}""", "8 bytes", "shape [4611686018427387904" },
        { """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", "each name once", "it twice" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", "start at byte", "overlaps" },
        { """{"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", "start at byte", "leaves a gap" },
        { """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", "byte ", "byte " },
        { """{"\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "", "" },
    };

    [Theory]
    [MemberData(nameof(BadHeaders))]
    public void A_malformed_header_is_refused_with_both_values(string header, string expected, string actual)
    {
        CheckpointException refusal = Refused(SafetensorsWriter.Join(header, new byte[8]));
        Assert.Contains(expected, refusal.Expected);
        Assert.Contains(actual, refusal.Actual);
    }

    [Theory]
    [InlineData(0UL, "0 bytes")]
    [InlineData(1UL, "1 bytes")]
    [InlineData(100_000_001UL, "100000001 bytes")]
    [InlineData(ulong.MaxValue, "18446744073709551615 bytes")]
    [InlineData(0x8000_0000_0000_0000UL, "9223372036854775808 bytes")]
    public void A_header_length_outside_the_file_is_refused_before_it_is_allocated(ulong length, string actual)
    {
        byte[] file = Small();
        BinaryPrimitives.WriteUInt64LittleEndian(file, length);
        CheckpointException refusal = Refused(file);
        Assert.Equal(actual, refusal.Actual);
        Assert.Equal($"2 to {file.Length - 8} bytes", refusal.Expected);
        Assert.Equal(0, refusal.OffsetBytes);
    }

    [Fact]
    public void A_file_cut_short_anywhere_is_refused()
    {
        byte[] whole = Small();
        for (int length = 0; length < whole.Length; length++) Refused(whole[..length]);
        Refused([.. whole, 0]);
        using SafetensorsFile file = SafetensorsFile.Open(Write(whole));
        Assert.Equal(2, file.Tensors.Count);
        var values = new float[6];
        file.Read(file.Tensors["b"], values);
        Assert.Equal([5, 6, 7, 8, 9, 10], values);
    }

    [Fact]
    public void No_damage_to_a_header_ends_in_another_exception()
    {
        byte[] whole = Small();
        int headerBytes = (int)BinaryPrimitives.ReadUInt64LittleEndian(whole);
        var random = new Random(20);
        int refused = 0;
        for (int round = 0; round < 4000; round++)
        {
            byte[] json = whole.AsSpan(8, headerBytes).ToArray();
            for (int flips = random.Next(1, 4); flips > 0; flips--) json[random.Next(json.Length)] = (byte)random.Next(256);
            try
            {
                foreach (TensorEntry entry in SafetensorsHeader.Parse("memory", json, whole.Length))
                {
                    Assert.InRange(entry.OffsetBytes, 8 + headerBytes, whole.Length);
                    Assert.InRange(entry.OffsetBytes + entry.LengthBytes, entry.OffsetBytes, whole.Length);
                }
            }
            catch (CheckpointException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, 2000, 4000);
    }

    [Fact]
    public void An_absent_file_is_refused_by_name() =>
        Assert.Contains("absent.safetensors", Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(_directory.File("absent.safetensors"))).Message);

    private static byte[] Small() => SafetensorsWriter.Serialize([("a", [2, 2], [1, 2, 3, 4]), ("b", [6], [5, 6, 7, 8, 9, 10])], ElementType.BFloat16);

    private CheckpointException Refused(byte[] file)
    {
        string path = Write(file);
        var refusal = Assert.Throws<CheckpointException>(() => SafetensorsFile.Open(path).Dispose());
        Assert.Equal(path, refusal.File);
        Assert.NotEmpty(refusal.Expected);
        Assert.NotEmpty(refusal.Actual);
        Assert.Contains(path, refusal.Message);
        Assert.Contains(refusal.Expected, refusal.Message);
        Assert.Contains(refusal.Actual, refusal.Message);
        return refusal;
    }

    private string Write(byte[] file)
    {
        string path = _directory.File("damaged.safetensors");
        File.WriteAllBytes(path, file);
        return path;
    }
}

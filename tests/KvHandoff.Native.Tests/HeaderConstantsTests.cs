using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using KvHandoff.Attention;
using KvHandoff.Codec;
using KvHandoff.Layout;
using KvHandoff.Numerics;
using KvHandoff.Session;
using KvHandoff.Wire;

namespace KvHandoff.Native.Tests;

/// <summary>A constant of the header is passed on as the number that it is: it has to be the one of the C# enumeration.</summary>
public sealed class HeaderConstantsTests
{
    public static TheoryData<string, Type, string> Enumerations => new()
    {
        { "KVH_ATTENTION_", typeof(AttentionKind), "" },
        { "KVH_SCALES_", typeof(ScaleKind), "TENSOR PerTensor HEAD PerHead TOKEN_HEAD PerTokenHead CHANNEL_TILE PerChannelTile GROUP_32 PerGroup32" },
        { "KVH_SCALE_", typeof(ScaleType), "FP32 Float32 BF16 BFloat16" },
        { "KVH_STEP_", typeof(TransferSteps), "" },
        { "KVH_ORDER_", typeof(DimensionOrder), "" },
        { "KVH_OUTCOME_", typeof(HandoffOutcome), "" },
        { "KVH_INTENT_", typeof(HandoffIntent), "" },
        { "KVH_STATUS_", typeof(HandoffStatus), "" },
        { "KVH_PHASE_", typeof(HandoffPhase), "" },
        { "KVH_REJECT_", typeof(RejectReason), "LAYOUT LayoutMismatch" },
        { "KVH_PRECISION_", typeof(CanaryPrecision), "" },
        { "KVH_HAD_", typeof(PackFlags), "NAN HadNaN INFINITY HadInfinity" },
        { "KVH_EVENT_", typeof(HandleEvents), "" },
    };

    [Theory]
    [MemberData(nameof(Enumerations))]
    public void Are_those_of_the_enumeration(string prefix, Type enumeration, string otherNames)
    {
        Dictionary<string, int> header = HeaderConstants.Of(prefix);
        Assert.NotEmpty(header);
        string[] pairs = otherNames.Split(' ');
        foreach ((string name, int value) in header)
        {
            int renamed = Array.IndexOf(pairs, name);
            string member = renamed >= 0 ? pairs[renamed + 1] : string.Concat(name.Split('_').Select(w => w[..1] + w[1..].ToLowerInvariant()));
            // What an event or an error without a reason has.
            if (name == "NONE" && value == 0) continue;
            object? found = Enum.GetValues(enumeration).Cast<object>().FirstOrDefault(v => Convert.ToInt64(v, null) == value);
            Assert.True(found is not null, $"{prefix}{name} is {value}, which {enumeration.Name} does not have.");
            Assert.True(Matches(member, found.ToString()!), $"{prefix}{name} is {value}, which is {enumeration.Name}.{found}.");
        }
    }

    [Fact]
    public void Elements_and_codecs_have_the_numbers_of_the_wire()
    {
        Assert.Equal((int)ElementType.Float32, HeaderConstants.All["KVH_FP32"]);
        Assert.Equal((int)ElementType.Float16, HeaderConstants.All["KVH_FP16"]);
        Assert.Equal((int)ElementType.BFloat16, HeaderConstants.All["KVH_BF16"]);
        Assert.Equal((int)ElementType.Fp8E4M3, HeaderConstants.All["KVH_FP8_E4M3"]);
        Assert.Equal((int)ElementType.Fp8E5M2, HeaderConstants.All["KVH_FP8_E5M2"]);
        Assert.Equal((int)ElementType.Int8, HeaderConstants.All["KVH_INT8"]);
    }

    [Fact]
    public void Every_status_has_its_name_and_its_number()
    {
        var constants = typeof(Status).GetFields(BindingFlags.NonPublic | BindingFlags.Static).Where(f => f.IsLiteral).ToDictionary(f => f.Name, f => (int)f.GetRawConstantValue()!);
        Dictionary<string, int> failures = HeaderConstants.Of("KVH_E_");
        Assert.Equal(constants.Count(c => c.Value < 0), failures.Count);
        foreach ((string name, int value) in failures)
        {
            Assert.Equal($"KVH_E_{name}\0", Encoding.UTF8.GetString(Status.Name(value)));
            Assert.Contains(constants, c => c.Value == value && Matches(string.Concat(name.Split('_').Select(w => w[..1] + w[1..].ToLowerInvariant())), c.Key));
        }

        Assert.Equal("KVH_OK\0", Encoding.UTF8.GetString(Status.Name(HeaderConstants.All["KVH_OK"])));
        Assert.Equal("KVH_END\0", Encoding.UTF8.GetString(Status.Name(HeaderConstants.All["KVH_END"])));
        Assert.Equal("unknown\0", Encoding.UTF8.GetString(Status.Name(-9999)));
    }

    [Fact]
    public void Structs_are_plain_memory_with_their_size_in_front()
    {
        Type[] structs = [.. typeof(Status).Assembly.GetTypes().Where(t => t.IsValueType && t.Name.StartsWith("Kvh", StringComparison.Ordinal) && t.GetField("StructSize", BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public) is not null)];
        Assert.True(structs.Length >= 20, $"{structs.Length} structs were found.");
        foreach (Type type in structs) Assert.Equal(0, (int)Marshal.OffsetOf(type, "StructSize"));
    }

    private static bool Matches(string fromHeader, string member) => string.Equals(fromHeader, member, StringComparison.OrdinalIgnoreCase);
}

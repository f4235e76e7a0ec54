using System.IO.Compression;
using System.Security.Cryptography;
using KvHandoff.Core.Tests.Model;

namespace KvHandoff.Core.Tests.Numerics;

/// <summary>A table of the numeric formats computed by LLVM's APFloat; golden/generate.cpp says what each holds.</summary>
static class GoldenTable
{
    /// <summary>The lower halves of the binary32 numbers of the fp32 tables, in the order of the table.</summary>
    public static readonly uint[] SingleLows = [0x0000, 0x0001, 0x0FFF, 0x1000, 0x1001, 0x3000, 0x7FFF, 0x8000, 0x8001, 0xFFFF];

    /// <summary>The lower halves of the magnitudes of the E8M0 tables.</summary>
    public static readonly uint[] MagnitudeLows = [0x0000, 0x0001, 0xFFFF];

    /// <summary>Upper halves of finite magnitudes.</summary>
    public const int FiniteHighs = 0x7F80;

    static string Folder => Path.Combine(RepositoryPaths.Root, "tests", "KvHandoff.Core.Tests", "Numerics", "golden");

    /// <summary>Every table that SHA256SUMS lists, with the hash it lists.</summary>
    public static Dictionary<string, string> Hashes { get; } = File.ReadLines(Path.Combine(Folder, "SHA256SUMS"))
        .Select(line => line.Split("  "))
        .ToDictionary(parts => Path.GetFileNameWithoutExtension(parts[1]), parts => parts[0]);

    public static IEnumerable<string> Files =>
        Directory.EnumerateFiles(Folder, "*.gz").Select(path => Path.GetFileName(path).Replace(".bin.gz", ""));

    public static byte[] Read(string name)
    {
        using FileStream file = File.OpenRead(Path.Combine(Folder, name + ".bin.gz"));
        using var unzipped = new GZipStream(file, CompressionMode.Decompress);
        using var table = new MemoryStream();
        unzipped.CopyTo(table);
        return table.ToArray();
    }

    public static string HashOf(byte[] table) => Convert.ToHexStringLower(SHA256.HashData(table));

    /// <summary>Codes of a table that is stored in planes.</summary>
    public static uint[] ReadCodes(string name, int sizeBytes)
    {
        byte[] planes = Read(name);
        uint[] codes = new uint[planes.Length / sizeBytes];
        for (int i = 0; i < codes.Length; i++)
        {
            for (int plane = 0; plane < sizeBytes; plane++)
                codes[i] |= (uint)planes[(plane * codes.Length) + i] << (8 * plane);
        }

        return codes;
    }

    /// <summary>The binary32 value of each of 256 codes.</summary>
    public static float[] ReadValues(string name)
    {
        byte[] bytes = Read(name);
        float[] values = new float[bytes.Length / 4];
        for (int i = 0; i < values.Length; i++)
            values[i] = BitConverter.ToSingle(bytes, i * 4);
        return values;
    }
}

//! A small JPEG picture as a camera gives it, and as older ones do, without its Huffman tables.
#![allow(dead_code)]

/// 48×40 in four blocks: red, green, blue, light grey; 4:2:2, full range.
pub fn blocks() -> Vec<u8> {
    let digits: Vec<u8> = BLOCKS.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |of: u8| (of as char).to_digit(16).expect("a digit") as u8;
    digits.chunks(2).map(|pair| 16 * digit(pair[0]) + digit(pair[1])).collect()
}

/// The same, marked `AVI1` and without the tables, which are the standard ones.
pub fn bare() -> Vec<u8> {
    let whole = blocks();
    let mut bare = whole[..2].to_vec();
    bare.extend(*b"\xFF\xE0\x00\x0EAVI1\0\0\0\0\0\0\0\0");
    let mut at = 2;
    while whole[at + 1] != 0xDA {
        let next = at + 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
        // Not the JFIF marker either.
        if ![0xC4, 0xE0].contains(&whole[at + 1]) {
            bare.extend(&whole[at..next]);
        }
        at = next;
    }
    bare.extend(&whole[at..]);
    bare
}

/// Where the middle of each block is, and its luma, U and V in full range and BT.601.
pub const MIDDLES: [((usize, usize), [u8; 3]); 4] =
    [((12, 10), [76, 85, 255]), ((36, 10), [113, 64, 48]), ((12, 30), [29, 255, 107]), ((36, 30), [192, 128, 128])];

const BLOCKS: &str = "\
    ffd8ffe000104a46494600010200000100010000ffdb0043000806060706070808080808080909090a0a0a090909090a0a0a0a0a0a0c0c0c\
    0a0a0a0a0a0a0a0c0c0c0c0d0e0d0d0d0c0d0e0e0f0f0f1212111115151519191fffc401a200000105010101010101000000000000000001\
    02030405060708090a0b0100030101010101010101010000000000000102030405060708090a0b100002010303020403050504040000017d\
    01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a343536373839\
    3a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7\
    a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa110002010204\
    0403040705040400010277000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718\
    191a262728292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a9293\
    9495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5\
    f6f7f8f9faffc00011080028003003012200021200031200ffda000c03010002110311003f00e2e8a28af9403f7f00ae96b9aae96b971bf6\
    3fedefd031bf63fedefd0fc5fc7dff009a7bfeea5ffba61e3eff00cd3dff00752ffdd30a28a2b900fc5c0e0ffb73fe987fe44ffec28fedcf\
    fa61ff00913ffb0ac7a2bf68ff008832ff00e86f2ffc12bfccfd5cfe84ff0088b3ff0052c97fe0d5fe47e6e6c7f6e7fd30ff00c89ffd857b\
    27fc21ff00f4f9ff00903ffb75781d7d475f82715f871fd87f54ff0085075bdbfb6de9a8f2fb3f67f9f37e07de789bff0032bffb9bff00dc\
    07b5c6f99ffaff00f51fddbc0fd43eb1bbe7f69f59f65f772fb1fc4e0c17dbff00b77f5398ff00843ffe9f3ff207ff006ea3fe10ff00fa7c\
    ff00c81ffdbaba7a2bf1ff00f563fea27ff253e80f07fd4dff00a8cffc90fa83e5ca28a2bf7f03ca1857d475f2e57d475f01e26ffccaff00\
    ee6fff00700789bff32bff00b9bffdc07560fedffdbbfa860fedff00dbbfa8514515f9f81d407fffd9\
";

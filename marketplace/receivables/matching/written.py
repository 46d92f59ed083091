"""How parties are written: names without their cosmetics, and registrations without the words before them."""

import re
from functools import lru_cache

from marketplace.receivables.matching.look_alikes import folded

SIGNS = re.compile(r"[^\w]|_")
LEGAL_FORMS = {
    "LIMITED": "LTD",
    "INCORPORATED": "INC",
    "CORPORATION": "CORP",
    "COMPANY": "CO",
    "AKTIENGESELLSCHAFT": "AG",
    "AKTIEBOLAG": "AB",
    "AKTIEBOLAGET": "AB",
    "OSAKEYHTIO": "OY",
    "HANDELSBOLAG": "HB",
    "HANDELSBOLAGET": "HB",
    "KOMMANDITBOLAG": "KB",
    "KOMMANDITBOLAGET": "KB",
    "KOMMANDIITTIYHTIO": "KY",
    "GESMBH": "GMBH",
    "COKG": "CO KG",
    "LDA": "LTDA",
    "בעמ": "LTD",
    "UNTERNEHMERGESELLSCHAFT": "UG",
    "ALLMENNAKSJESELSKAP": "ASA",
    "INTERESSENTSKAB": "IS",
    "KOMMANDITSELSKAB": "KS",
    "OSAUHING": "OU",
    "AKTSIASELTS": "AS",
    "LIMITADA": "LTDA",
    "AKSJESELSKAP": "AS",
    "AKTIESELSKAB": "AS",
    "ANPARTSSELSKAB": "APS",
    "UND": "AND",
    "ET": "AND",
    "E": "AND",
    "PRIVATE": "PVT",
    "PTE": "PVT",
    "KK": "CO LTD",
}
PHRASES = (
    ("LIMITED PARTNERSHIP", "LP"),
    ("DESIGNATED ACTIVITY COMPANY", "DAC"),
    ("PROPRIETARY LIMITED", "PTY LTD"),
    ("SENDIRIAN BERHAD", "SDN BHD"),
    ("P L", "PTY LTD"),
    ("P LTD", "PVT LTD"),
    ("P LIMITED", "PVT LTD"),
    ("FZ CO", "FZCO"),
    ("PUBLIC LIMITED COMPANY", "PLC"),
    ("GESELLSCHAFT MIT BESCHRANKTER HAFTUNG", "GMBH"),
    ("SOCIETE ANONYME", "SA"),
    ("SOCIEDAD ANONIMA", "SA"),
    ("BESLOTEN VENNOOTSCHAP", "BV"),
    ("NAAMLOZE VENNOOTSCHAP", "NV"),
    ("SOCIETA PER AZIONI", "SPA"),
    ("SOCIETA A RESPONSABILITA LIMITATA", "SRL"),
    ("SOCIETA IN NOME COLLETTIVO", "SNC"),
    ("SOCIETA IN ACCOMANDITA SEMPLICE", "SAS"),
    ("SOCIETE A RESPONSABILITE LIMITEE", "SARL"),
    ("SOCIETE PAR ACTIONS SIMPLIFIEE", "SAS"),
    ("SOCIEDAD LIMITADA", "SL"),
    ("SOCIEDADE ANONIMA", "SA"),
    ("SPOLKA Z OGRANICZONA ODPOWIEDZIALNOSCIA", "SP Z OO"),
    ("SP Z O O", "SP Z OO"),
    ("SPOLKA AKCYJNA", "SA"),
    ("SPOLKA JAWNA", "SP J"),
    ("SPOLKA KOMANDYTOWA", "SP K"),
    ("OFFENE HANDELSGESELLSCHAFT", "OHG"),
    ("KOMMANDITGESELLSCHAFT", "KG"),
    ("GESELLSCHAFT MBH", "GMBH"),
    ("GMBH U CO", "GMBH AND CO"),
    ("AG U CO", "AG AND CO"),
    ("S A", "SA"),
    ("S COOP", "SCOOP"),
    ("SOCIEDAD COOPERATIVA", "SCOOP"),
    ("בע מ", "LTD"),
    ("JULKINEN OSAKEYHTIO", "OYJ"),
    ("AVOIN YHTIO", "AY"),
    ("ENTREPRISE UNIPERSONNELLE A RESPONSABILITE LIMITEE", "EURL"),
    ("SOCIETE EN NOM COLLECTIF", "SNC"),
    ("VENNOOTSCHAP ONDER FIRMA", "VOF"),
    ("COMMANDITAIRE VENNOOTSCHAP", "CV"),
    ("EINGETRAGENE GENOSSENSCHAFT", "EG"),
    ("EINGETRAGENER KAUFMANN", "EK"),
    ("EINGETRAGENE KAUFFRAU", "EK"),
    ("KORLATOLT FELELOSSEGU TARSASAG", "KFT"),
    ("ZARTKORUEN MUKODO RESZVENYTARSASAG", "ZRT"),
    ("NYILVANOSAN MUKODO RESZVENYTARSASAG", "NYRT"),
    ("BETETI TARSASAG", "BT"),
    ("SPOLECNOST S RUCENIM OMEZENYM", "SRO"),
    ("SPOLOCNOST S RUCENIM OBMEDZENYM", "SRO"),
    ("AKCIOVA SPOLECNOST", "AS"),
    ("AKCIOVA SPOLOCNOST", "AS"),
    ("SOCIETATE CU RASPUNDERE LIMITATA", "SRL"),
    ("SOCIEDAD DE RESPONSABILIDAD LIMITADA", "SRL"),
    ("SOCIEDAD ANONIMA DE CAPITAL VARIABLE", "SA DE CV"),
    ("DRUSTVO S OGRANICENOM ODGOVORNOSCU", "DOO"),
    ("DRUZBA Z OMEJENO ODGOVORNOSTJO", "DOO"),
    ("UZDAROJI AKCINE BENDROVE", "UAB"),
    ("SABIEDRIBA AR IEROBEZOTU ATBILDIBU", "SIA"),
    ("ANONIM SIRKETI", "AS"),
    ("LIMITED SIRKETI", "LTD STI"),
    ("LIMITED LIABILITY COMPANY", "LLC"),
    ("LIMITED LIABILITY PARTNERSHIP", "LLP"),
)
STOCK_COMPANY = re.compile(r"株式会社|株式會社|[(]株[)]|주식회사|[(]주[)]")  # Japan and Korea
# Signs of company names as Hong Kong and Taiwan write them, and as the mainland and Singapore do.
TRADITIONAL = (
    "國東業華電機實際貿發財銀鐵鋼車運輸達進遠連廣慶廠應庫開關門間聯藥醫藝莊榮萬葉蘇蘭號處術衛補製複規視親覺計訊記"
    "設許評詢試話該詳語誠調談請諾謝證識譯議護讓豐貝負貨貫責費貴買資賓賣質賴購贊軒軟輕輝輪農選遞還郵鄉鄧鄭鄰釀釋針"
    "釣鈞鈴鉅銅銘鋁鋒錢錦錫鍋鍵鎮鏡鐘鑄長閃閣陽陰陳陸隊階雙雜離難雲靈靜頂項順須預領頭題額顏願類顧風飛飯飲飼飾養館"
    "馬馮駐駿騰驗體鮮鳳鴻鵬鷹鹽麗麥黃點齊齒龍龐優儀億儲兒內兩冊凱別創劃劉劑劍動務勝勞勵匯區協單衞厲參呂員問啟喬園"
    "圓圖團場塊壓壘壽夠夾奪奮婦媽學孫寧審寫寬寶將專尋對導層屬岡島峽嶺巖帥師帳帶幣幹幾廈廚張強彈後從復徵恆愛態憑憲"
    "戰戶拋揚換損搖據擇擔擬擴攝攜敵數斷時晉暢曆書會條極楊楓樂樓標樣樹橋檔檢櫃權歐歡歲歷殺氣決沒況淨淺減測湯準溝溫"
    "滅滾滿漁漢漲潔潤濟瀘灣災為烏無煉煙營燈燒爐爾牆獅獎獨獲獻現瑪環產畫異當療盤監盡碼磚礎礦禮種稱穀穩積競筆節範築"
    "簡簽籃籌糧糾紀約紅納紐純紗紙級紡細紹終組結絕給統絲經綜綠維網綢緊線緣編緻練縣總績織繪繼續纖罰羅義習聖聞聲職聽"
    "腦膠臨臺與興舉舊艙艦莖蓋蓮蔣蕭薩藍蝦蟲裝裏見觀訂訓託註訪診詞詩誌認誤課論諮諸謀講變貓貢貧貳賀賢賬賭賽贈贏趙趨"
    "跡躍軍軌載較輔輯轉辦辭邊鄒醬釘鈕鉛鉑銷鋪錄鋰鎢鏈鐳鑽閉閱闆隨險隱雞霧韋韓響頁頻顆顯飄餅餘駕騎驅驚髮魚鮑鯨鳥鴨"
    "鶴麵黨齡龜眾凍濤穎繡燦瑩滙鄺羣峯堅錶鎖鏗飃髙"
)
SIMPLIFIED = (
    "国东业华电机实际贸发财银铁钢车运输达进远连广庆厂应库开关门间联药医艺庄荣万叶苏兰号处术卫补制复规视亲觉计讯记"
    "设许评询试话该详语诚调谈请诺谢证识译议护让丰贝负货贯责费贵买资宾卖质赖购赞轩软轻辉轮农选递还邮乡邓郑邻酿释针"
    "钓钧铃钜铜铭铝锋钱锦锡锅键镇镜钟铸长闪阁阳阴陈陆队阶双杂离难云灵静顶项顺须预领头题额颜愿类顾风飞饭饮饲饰养馆"
    "马冯驻骏腾验体鲜凤鸿鹏鹰盐丽麦黄点齐齿龙庞优仪亿储儿内两册凯别创划刘剂剑动务胜劳励汇区协单卫厉参吕员问启乔园"
    "圆图团场块压垒寿够夹夺奋妇妈学孙宁审写宽宝将专寻对导层属冈岛峡岭岩帅师帐带币干几厦厨张强弹后从复征恒爱态凭宪"
    "战户抛扬换损摇据择担拟扩摄携敌数断时晋畅历书会条极杨枫乐楼标样树桥档检柜权欧欢岁历杀气决没况净浅减测汤准沟温"
    "灭滚满渔汉涨洁润济泸湾灾为乌无炼烟营灯烧炉尔墙狮奖独获献现玛环产画异当疗盘监尽码砖础矿礼种称谷稳积竞笔节范筑"
    "简签篮筹粮纠纪约红纳纽纯纱纸级纺细绍终组结绝给统丝经综绿维网绸紧线缘编致练县总绩织绘继续纤罚罗义习圣闻声职听"
    "脑胶临台与兴举旧舱舰茎盖莲蒋萧萨蓝虾虫装里见观订训托注访诊词诗志认误课论咨诸谋讲变猫贡贫贰贺贤账赌赛赠赢赵趋"
    "迹跃军轨载较辅辑转办辞边邹酱钉钮铅铂销铺录锂钨链镭钻闭阅板随险隐鸡雾韦韩响页频颗显飘饼余驾骑驱惊发鱼鲍鲸鸟鸭"
    "鹤面党龄龟众冻涛颖绣灿莹汇邝群峰坚表锁铿飘高"
)
SIMPLIFY = str.maketrans(TRADITIONAL, SIMPLIFIED)
# Words before a number that only say which kind of number it is: NIP 907-398-59-34, P.IVA 07989620229, UEN: 198826546E.
_LABELS = (
    "NIP REGON KRS PIVA PARTITAIVA CODFISC CODICEFISCALE CIF NIF SIREN SIRET RCS KVK CVR ORG UST UMSATZSTEUER STEUER "
    "USTID UID VAT TVA BTW MOMS CRN CRO EIN FEIN TIN ICO DIC OIB NIPC KBO BCE FN YTUNNUS ABN ACN ARBN BN BRN BR UEN "
    "SGUEN CIN USCC GSTIN GST HST QST PST SST TRN TL TAX TRADE LICENCE LICENSE COMPANY CO REGISTRATION REGISTERED "
    "REGISTER REG BUSINESS NUMBER NUMMER NO NR NUM ID IDENTIFICATION IDNR 法人番号 登録番号 統一編號 统一编号 税号 稅號"
)
SCHEME = re.compile(r"^\s*(?:iso6523-actorid-upis::)?[0-9]{4}\s*:\s*", re.IGNORECASE)
_LABEL = "|".join(sorted(_LABELS.split(), key=len, reverse=True))
LABELS = re.compile(rf"(?!NO[0-9]{{9}}(?:MVA)?$)(?:{_LABEL})+(?!O[0-9])(?=[A-Z]{{0,4}}[0-9][0-9A-Z]{{4}})")


def without_scheme(text: str) -> str:
    """Return a registration without the code of its register before it: 0195:205774855D. Source: ISO/IEC 6523."""
    return SCHEME.sub("", text)


def without_label(number: str) -> str:
    """Return a folded registration, letters and digits alone, without the words before it.

    NO before nine digits is Norway.
    """
    found = LABELS.match(number)
    return number[found.end() :] if found else number


@lru_cache(maxsize=8_192)
def written_name(text: str) -> str:
    """Return a name folded: no full stops, legal forms in one spelling, Chinese in simplified signs, no leading The."""
    words = folded(text).replace("&", " AND ").replace(".", "")
    if not words.isascii():
        words = STOCK_COMPANY.sub(" KK ", words).translate(SIMPLIFY)
    words = f" {' '.join(SIGNS.sub(' ', words).split())} "
    for phrase, short in PHRASES:
        if phrase in words:
            words = words.replace(f" {phrase} ", f" {short} ")
    said = words.split()
    if len(said) > 2 and said[0] == "THE":
        said = said[1:]
    return " ".join([LEGAL_FORMS.get(word, word) for word in said])
